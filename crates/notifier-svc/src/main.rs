//! notifier-svc as a process of its own.

fn main() -> std::process::ExitCode {
    chassis::host::run_main(|settings| Ok(vec![notifier_svc::service(settings)?]))
}
