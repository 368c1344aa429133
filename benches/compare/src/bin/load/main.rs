//! The load generator: one thread, one epoll loop, every answer checked. It is to cost less than the fastest server
//! that it drives, so that the server is what is measured; it reports its own time on the processor as well, to show
//! when that no longer holds.

mod answer;
mod check;
mod connection;
mod engine;
mod histogram;
mod idle;
mod options;
mod process;
mod report;
mod request;
mod stream;
mod tls;

use std::process::ExitCode;

use options::{Mode, Options};

fn main() -> ExitCode {
    let options = match Options::from_args() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let report = match options.mode {
        Mode::Idle => idle::run(&options),
        Mode::Check => check::run(&options),
        _ => engine::run(&options),
    };
    match report {
        Ok(report) => {
            report.print(options.output);
            if report.has_errors() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            eprintln!("{}: {error}", options.address);
            ExitCode::FAILURE
        }
    }
}
