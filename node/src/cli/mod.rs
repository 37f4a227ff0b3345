//! The command line: one file per command.

mod attach;
mod cancel;
mod check;
mod config;
mod connection;
mod cp;
mod exec;
mod gc;
mod logs;
mod manifest;
mod output;
mod pods;
mod port_forward;
mod prompt;
mod ps;
mod render;
mod run;
mod serve;
mod session;
mod site;
mod top;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Run Kubernetes pods on any HPC cluster that you can SSH to
#[derive(Debug, Parser)]
#[command(name = "towline", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more of what is done; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Node(serve::Node),
    Run(run::Run),
    Render(render::Render),
    Check(check::Check),
    Ps(ps::Ps),
    Top(top::Top),
    Logs(logs::Logs),
    Exec(exec::Exec),
    Attach(attach::Attach),
    PortForward(port_forward::PortForward),
    Cp(cp::Cp),
    Cancel(cancel::Cancel),
    Gc(gc::Gc),
    Config(config::ConfigCommand),
}

/// Runs what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.verbose, matches!(cli.command, Command::Node(_)));
    let failure = cli.command.failure_code();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("failed to start"), failure),
    };
    let code = match runtime.block_on(cli.command.run()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error, failure),
    };
    // A thread that waits for the terminal must not keep the program.
    runtime.shutdown_background();
    code
}

impl Command {
    async fn run(self) -> anyhow::Result<u8> {
        match self {
            Self::Node(command) => command.run().await,
            Self::Run(command) => command.run().await,
            Self::Render(command) => command.run().await,
            Self::Check(command) => command.run().await,
            Self::Ps(command) => command.run().await,
            Self::Top(command) => command.run().await,
            Self::Logs(command) => command.run().await,
            Self::Exec(command) => command.run().await,
            Self::Attach(command) => command.run().await,
            Self::PortForward(command) => command.run().await,
            Self::Cp(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Gc(command) => command.run().await,
            Self::Config(command) => output::print(&command.run()?).map(|()| 0),
        }
    }

    /// The exit code of an error: `run` keeps clear of the codes of the containers.
    fn failure_code(&self) -> u8 {
        if matches!(self, Self::Run(_)) {
            run::code::TOWLINE
        } else {
            1
        }
    }
}

/// Prints an error with its causes.
fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    // Whoever reads our output has had enough.
    if error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    {
        return ExitCode::SUCCESS;
    }
    let mut said = error.to_string();
    eprintln!("error: {said}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Many errors say their cause themselves.
        if !said.contains(&cause) {
            eprintln!("  because: {cause}");
            said = cause;
        }
    }
    if let Some(hint) = error.chain().find_map(hint) {
        eprintln!("  hint: {hint}");
    }
    ExitCode::from(code)
}

/// What to do on this command line about a cause that a library names.
fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let ssh = match cause.downcast_ref::<towline_cluster::Error>() {
        Some(towline_cluster::Error::Remote(error)) => Some(error),
        _ => cause.downcast_ref::<towline_ssh::Error>(),
    };
    matches!(ssh, Some(towline_ssh::Error::HostKeyUnknown { .. }))
        .then_some("--accept-new-host-key accepts it, and writes it into known_hosts")
}

fn log_to_stderr(verbose: u8, service: bool) {
    let level = match (verbose, service) {
        // What the link has to say is in the errors of those who use it.
        (0, false) => "warn,towline_ssh=off",
        (0, true) => "info",
        (1, _) => {
            "info,towline=debug,towline_core=debug,towline_cluster=debug,towline_ssh=debug,towline_apiserver=debug,towline_kubelet_api=debug"
        }
        (_, _) => "debug,towline=trace,towline_core=trace,towline_cluster=trace,towline_ssh=trace",
    };
    let filter = EnvFilter::try_from_env("TOWLINE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
