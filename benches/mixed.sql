-- Nine reads and one write outside a transaction: what splitting is for.
\set aid random(1, 100000 * :scale)
\set other random(1, 100000 * :scale)
\set delta random(-5000, 5000)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :other;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid + 1;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :other;
SELECT abalance FROM pgbench_accounts WHERE aid = :other + 1;
SELECT bbalance FROM pgbench_branches WHERE bid = 1;
SELECT tbalance FROM pgbench_tellers WHERE tid = 1;
SELECT abalance FROM pgbench_accounts WHERE aid = :other + 2;
