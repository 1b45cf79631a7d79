# What one does every day; `just` lists it.

_list:
    @just --list

# everything at once, without configuration
demo:
    cargo run -- demo

# the service, with the settings of .env
serve:
    cargo run -- serve

# format, lint, test: what must hold before a commit
check:
    cargo fmt --check
    cargo clippy --workspace --exclude switchboard-native --all-targets -- -D warnings
    cargo test

# licences, banned crates, sources and known vulnerabilities of the dependencies
deny:
    cargo deny check

# figures: docs/BENCHMARKS.md says what they mean
bench *names:
    cargo bench {{ names }}

# every fault there is, a thousand times over; docs/RELIABILITY.md says what the rows mean
faults *arguments:
    cargo test --release --test faults -- --full {{ arguments }}

# the API's description against a server that runs; docs/API.md says what may be left over
schemathesis *arguments:
    .ci/schemathesis {{ arguments }}

# what continuous integration runs
ci:
    .ci/run
