//! `models eval` of the command line without the fleet around it: builds in seconds.

use clap::Parser;

#[derive(Parser)]
struct Eval {
    task: String,
    #[command(flatten)]
    run: backtest::Run,
}

fn main() -> anyhow::Result<()> {
    let Eval { task, run } = Eval::parse();
    backtest::eval(&task, &run)
}
