//! supplier-sync-svc as a process of its own.

fn main() -> std::process::ExitCode {
    chassis::host::run_main(|settings| Ok(vec![supplier_sync_svc::service(settings)?]))
}
