//! `towline`: Kubernetes pods on any cluster that can be reached by SSH.

mod cli;
mod config;
mod node;

fn main() -> std::process::ExitCode {
    // The first provider wins; an error says only that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cli::main()
}
