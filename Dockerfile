# One binary on a base without shell or package manager, as a user without rights.

FROM rust:1.95.0-bookworm AS build
# Else rust-toolchain.toml would fetch rustfmt and clippy, which a build does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
# The caches survive a change of source, so that only what changed is built again.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin switchboard \
    && cp target/release/switchboard /switchboard \
    && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /switchboard /switchboard
# A volume mounted here takes over this owner.
COPY --from=build --chown=nonroot:nonroot /data /data
ENV APP_ENV=production \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATABASE_URL=sqlite:///data/switchboard.db?mode=rwc \
    SESSION_PATH=/data/whatsapp-session
EXPOSE 3000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/switchboard"]
CMD ["serve"]
