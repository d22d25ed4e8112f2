use anyhow::{Context as _, Error, Result, anyhow};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Short enough not to slow a test down, long enough not to disturb what is being waited for.
const PAUSE: Duration = Duration::from_millis(25);

/// Asks `probe` again and again until it succeeds, and returns what it found.
///
/// # Panics
/// When it has not succeeded within `within`; the message ends with the last refusal, so `ensure!` inside the probe
/// tells the reader of a failed test how far things had got.
pub async fn eventually<T>(within: Duration, what: &str, probe: impl AsyncFnMut() -> Result<T>) -> T {
    match poll(within, what, probe).await {
        Ok(found) => found,
        Err(refusal) => panic!("{refusal:#}"),
    }
}

/// [`eventually`], for those who would rather return the failure than panic.
pub async fn poll<T>(within: Duration, what: &str, mut probe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + within;
    let mut last: Option<Error> = None;
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(refusal)) => last = Some(refusal),
            // The last complete refusal says more than "the final try was cut off".
            Err(_) => last = last.or_else(|| Some(anyhow!("the probe itself never answered"))),
        }
        if Instant::now() + PAUSE >= deadline {
            let refusal = last.unwrap_or_else(|| anyhow!("never asked"));
            return Err(refusal).with_context(|| format!("not within {within:?}: {what}"));
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::ensure;

    #[tokio::test]
    async fn a_probe_that_comes_true_yields_its_value() {
        let mut asked = 0;
        let found = eventually(Duration::from_secs(5), "third time lucky", async || {
            asked += 1;
            ensure!(asked == 3, "asked {asked} times");
            Ok("found")
        });
        assert_eq!(found.await, "found");
    }

    #[tokio::test]
    async fn a_probe_that_stays_false_says_what_and_why() {
        let failure = poll(Duration::from_millis(60), "pigs fly", async || -> Result<()> { Err(anyhow!("no wings")) })
            .await
            .expect_err("pigs do not fly");
        assert_eq!(format!("{failure:#}"), "not within 60ms: pigs fly: no wings");
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_cut_off() {
        let failure = poll(Duration::from_millis(60), "it answers", std::future::pending::<Result<()>>)
            .await
            .expect_err("it never answers");
        assert!(format!("{failure:#}").ends_with("the probe itself never answered"));
    }
}
