//! approval-svc as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::host::run_main(|settings| Ok(vec![approval_svc::service(settings)?]))
}
