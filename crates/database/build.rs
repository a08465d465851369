//! Tells Cargo that the crate holds the migrations, so that a further one is compiled in.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
