# `make` alone lists the targets. Each installs what it needs first, so a fresh Debian or Ubuntu
# machine with Rust will do.

TEST_LIMIT ?= 25m
CONFORMANCE_LIMIT ?= 120m
export RUST_TEST_THREADS ?= 2

.PHONY: help demo test soak stale guarantees failover patroni conformance conformance-variations conformance-quick bench compare pgo budget cost marketplace prisma setup

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' Makefile | expand -t 28

demo: setup ## a real local cluster with pgsplit in front; Ctrl-C removes it (ARGS="--replicas 3")
	cargo run --release --locked -p pgsplit -- demo $(ARGS)

test: setup ## all tests, against a real primary and replicas
	@scripts/setup iptables ip:iproute2
	@scripts/drivers-setup
	@# Building counts against no limit: what hangs is a test.
	cargo test --workspace --locked --no-run
	@# At a terminal the tests must hear Ctrl-C; elsewhere the time limit must reach all of them.
	@if [ -t 0 ]; then foreground=--foreground; fi; \
	timeout $$foreground --kill-after=20s $(TEST_LIMIT) cargo test --workspace --locked

soak: export SOAK_SECONDS ?= 600
soak: setup ## 200 clients of mixed behaviour for ten minutes while nodes go away (SOAK_SECONDS, SOAK_CLIENTS, SOAK_SEED)
	cargo test --release --locked -p pgsplit --test soak -- --nocapture

stale: export STALE_TRIALS ?= 30000
stale: setup ## 200,000 writes, each read back at once elsewhere while replay stands still at random; then the same with bugs on purpose (STALE_TRIALS, STALE_SEED)
	cargo test --release --locked -p pgsplit --test stale -- --nocapture --test-threads 1
	STALE_TRIALS=$$((STALE_TRIALS / 3)) cargo test --locked -p pgsplit --features planted --test stale -- --nocapture planted

guarantees: export GUARANTEES_SECONDS ?= 900
guarantees: setup ## 25 minutes of histories at random with faults, each read and write checked against what is promised; then with bugs on purpose (GUARANTEES_SECONDS, GUARANTEES_SEED, GUARANTEES_BUG="no-marks")
	cargo test --release --locked -p pgsplit --test guarantees -- --nocapture --test-threads 1
	cargo test --locked -p pgsplit --features planted --test guarantees -- --nocapture planted

patroni: export PATRONI_DIR ?= /var/tmp/pgsplit-patroni
patroni: setup ## a switchover and lost leaders under Patroni and etcd, with readers and writers (PATRONI_DIR, FAILOVER="switchover")
	scripts/patroni-cluster install
	cargo test --release --locked -p pgsplit --test failover -- --nocapture --ignored

failover: setup ## nodes killed, frozen, restarted and promoted, with readers and writers; then with bugs on purpose (FAILOVER="frozen")
	cargo test --release --locked -p pgsplit --test failover -- --nocapture --test-threads 1
	cargo test --locked -p pgsplit --features planted --test failover -- --nocapture planted

conformance: setup ## PostgreSQL's, asyncpg's and SQLAlchemy's suites, directly and through pgsplit (SUITES="asyncpg" MODE=shadow POOL=session REPLICA=killed)
	@scripts/conformance-setup
	@$(call conformance,--release,$(SUITES))

conformance-variations: setup ## the same with routing in the shadow, session pooling, and a replica killed, paused or lagging (SUITES="asyncpg")
	@failed=; for variation in MODE=shadow POOL=session REPLICA=killed REPLICA=paused REPLICA=lagging; do \
		$(MAKE) --no-print-directory conformance SUITES="$(SUITES)" $$variation || failed=1; \
	done; [ -z "$$failed" ]

conformance-quick: setup ## the part of it that takes a few minutes
	@scripts/conformance-setup postgres
	@$(call conformance,,regression-parallel libpq_pipeline)

# With which profile, and which suites.
conformance = if [ -t 0 ]; then foreground=--foreground; fi; \
	CONFORMANCE_SUITES="$(2)" CONFORMANCE_MODE=$(MODE) CONFORMANCE_POOL=$(POOL) CONFORMANCE_REPLICA=$(REPLICA) \
	timeout $$foreground --kill-after=20s $(CONFORMANCE_LIMIT) cargo test $(1) --locked -p pgsplit --test conformance -- --include-ignored --nocapture

bench: setup ## CPU per query beside PgBouncer (ARGS="-r 5 -t 10")
	@scripts/setup pgbouncer strace
	benches/run $(ARGS)

pgo: setup ## a build for production, laid out by what pgbench does through it: target/pgo/pgsplit
	@scripts/setup strace
	scripts/pgo

compare: setup ## pgsplit, PgBouncer, pgpool-II and a direct connection in every case (ARGS="--quick", "--only login idle")
	@scripts/setup pgbouncer strace openssl pgpool:pgpool2
	benches/compare/run $(ARGS)

budget: setup ## what a statement costs in instructions, beside the figures that it may cost (ARGS="--renew")
	@scripts/setup valgrind
	scripts/budget $(ARGS)

cost: setup ## how long a decision takes with a hundred rules, and a statement that is met for the first time
	cargo test --release --locked -p pgsplit-route --test cost -- --ignored --nocapture

prisma: setup ## a real Prisma application: its flows directly and through pgsplit give the same
	@scripts/drivers-setup prisma
	@if [ -t 0 ]; then foreground=--foreground; fi; DRIVERS=Prisma \
	timeout $$foreground --kill-after=20s $(TEST_LIMIT) cargo test --locked -p pgsplit --test drivers -- --nocapture

marketplace: setup ## the scaling plan's marketplace as a load, and who served what (ARGS="-T 60 -c 32")
	benches/marketplace/run $(ARGS)

setup: ## installs what is missing: PostgreSQL, a C compiler, Python, Node.js
	@scripts/setup
