# Daily work. `just` lists the recipes.

default:
    @just --list

# Serve the sample prompts from a private Postgres.
serve *arguments:
    cargo run --release -- serve --sample {{arguments}}

# All tests. They start the Postgres that they need.
test *arguments:
    cargo test --workspace {{arguments}}

# What CI looks at besides the tests.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- --deny warnings
    cargo clippy -p quire-pagination -p quire-keyset --no-default-features -- --deny warnings
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --all-features
    npx --yes --package @bufbuild/buf buf lint

# The libraries' packages, and the bookshop built from them on the oldest Rust.
bookshop:
    bash .ci/bookshop

# Licences and sources of the dependencies.
deny:
    cargo deny check licenses bans sources

# Known faults of the dependencies. It fetches the advisory database from GitHub.
advisories:
    cargo deny check advisories

# All that CI does, in a clean clone.
ci:
    bash .ci/run

# What one tenant's callers can do to another's.
overload *arguments:
    cargo test --release -p quire --test overload -- {{arguments}}

# The property test of orders with many more cases than usual.
orders cases="2000":
    KEYSET_CASES={{cases}} cargo test -p quire-keyset --test it orders

# The model check of jobs with many cases instead of one.
model cases="30":
    JOBS_CASES={{cases}} cargo test -p jobs --test it model

# Fuzzes one target: token, keys, message, order_by, token_keys, access_token, signing_keys, request or words. It needs a nightly compiler and cargo-fuzz.
fuzz target seconds="60":
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}}
