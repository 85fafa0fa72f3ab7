FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked -p pgsplit && cp target/release/pgsplit /pgsplit

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /var/lib/pgsplit --shell /usr/sbin/nologin pgsplit
COPY --from=build /pgsplit /usr/local/bin/pgsplit
COPY config/docker/pgsplit.toml /etc/pgsplit/pgsplit.toml
USER pgsplit
WORKDIR /var/lib/pgsplit
EXPOSE 6432 9187
ENTRYPOINT ["pgsplit"]
CMD ["run", "-c", "/etc/pgsplit/pgsplit.toml"]
