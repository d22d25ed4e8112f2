//! When a line is received, in days from its promise: one distribution that answers every question about it.
//!
//! Receipts are early (a share of those on time, exponentially distributed), on the promised day itself (the rest of
//! those on time), or late (exponentially distributed: on real receipts median, mean and upper deciles of the delay
//! agree with it). The promise is a target that is aimed at, which is why a single bell around it fits none.

/// Receipt day relative to the promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Delivery {
    /// Days from the order to the promise: nothing comes before it is ordered.
    pub(super) lead: f64,
    /// Probability to come after the promised day.
    pub(super) late: f64,
    /// Mean delay of what is late, in days.
    pub(super) days_late: f64,
    /// Share of what is on time that comes before the promised day, and by how many days in the mean.
    pub(super) early: f64,
    pub(super) days_early: f64,
}

impl Delivery {
    /// P(received after day `x`).
    pub(super) fn after(&self, x: f64) -> f64 {
        if x >= 0.0 {
            self.late * (-x / self.days_late).exp()
        } else if x > -self.lead {
            let floor = self.floor();
            1.0 - self.before_promise() * ((x / self.days_early).exp() - floor) / (1.0 - floor)
        } else {
            1.0
        }
    }

    /// P(received before the promised day).
    fn before_promise(&self) -> f64 {
        (1.0 - self.late) * self.early
    }

    /// Share of an unbounded earliness that would fall before the order.
    fn floor(&self) -> f64 {
        (-self.lead / self.days_early).exp()
    }

    /// P(received after day `due`), nothing having been received up to and with the day before `today`.
    pub(super) fn late_after(&self, due: f64, today: f64) -> f64 {
        let waited = today - 1.0;
        if due <= waited { 1.0 } else { self.after(due) / self.after(waited) }
    }

    /// E[min(max(X - due, 0), cap)] under the same condition: the integral of [`Self::late_after`] over `cap` days.
    pub(super) fn delay(&self, due: f64, today: f64, cap: f64) -> f64 {
        let waited = today - 1.0;
        let certain = (waited - due).clamp(0.0, cap);
        let (from, to) = (due.max(waited), (due + cap).max(waited));
        if waited >= 0.0 {
            // The exponential forgets. Its far tail is too thin for a difference of integrals to be told.
            let left = |day: f64| (-(day - waited) / self.days_late).exp();
            return certain + self.days_late * (left(from) - left(to));
        }
        certain + (self.integral(to) - self.integral(from)) / self.after(waited)
    }

    /// An antiderivative of [`Self::after`].
    fn integral(&self, x: f64) -> f64 {
        let ordered = x.max(-self.lead);
        let since_order = if ordered >= 0.0 {
            self.late * self.days_late * -(-ordered / self.days_late).exp_m1()
        } else {
            let floor = self.floor();
            let early = self.days_early * (ordered / self.days_early).exp_m1() - floor * ordered;
            ordered - self.before_promise() * early / (1.0 - floor)
        };
        since_order + (x - ordered)
    }

    /// Smallest delay beyond `due` that is exceeded with at most `1 - probability`, under the same condition.
    pub(super) fn quantile(&self, probability: f64, due: f64, today: f64) -> f64 {
        let exceeded = (1.0 - probability) * self.after(today - 1.0);
        let day = if exceeded < self.late {
            self.days_late * (self.late / exceeded).ln()
        } else {
            let early = (1.0 - exceeded) / self.before_promise();
            let floor = self.floor();
            if early < 1.0 { self.days_early * (early * (1.0 - floor) + floor).ln() } else { 0.0 }
        };
        (day.max(today - 1.0) - due).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: Delivery = Delivery { lead: 1e3, late: 0.2, days_late: 20.0, early: 0.3, days_early: 30.0 };
    /// The day of the order.
    const AT_ORDER: f64 = -1e3;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn at_the_order_the_late_share_and_the_exponential_s_moments_come_back() {
        close(EXAMPLE.late_after(0.0, AT_ORDER), 0.2);
        close(EXAMPLE.delay(0.0, AT_ORDER, 1e6), 0.2 * 20.0);
        close(EXAMPLE.delay(0.0, AT_ORDER, 20.0), 0.2 * 20.0 * (1.0 - (-1.0_f64).exp()));
        // A tenth of all exceeds the median of the late fifth.
        close(EXAMPLE.quantile(0.9, 0.0, AT_ORDER), 20.0 * std::f64::consts::LN_2);
        close(EXAMPLE.quantile(0.5, 0.0, AT_ORDER), 0.0);
    }

    #[test]
    fn on_the_promised_day_those_who_would_have_been_early_are_ruled_out() {
        // A day before the promise all but the share that comes within it is still open.
        let open = 1.0 - 0.8 * 0.3 * (-1.0_f64 / 30.0).exp();
        close(EXAMPLE.late_after(0.0, 0.0), 0.2 / open);
    }

    #[test]
    fn what_is_overdue_is_late_and_has_its_mean_delay_still_ahead() {
        close(EXAMPLE.late_after(0.0, 11.0), 1.0);
        close(EXAMPLE.delay(0.0, 11.0, 1e6), 10.0 + 20.0);
        close(Delivery { days_late: 0.5, ..EXAMPLE }.delay(0.0, 41.0, 1e6), 40.0 + 0.5);
    }

    fn delivery() -> impl Strategy<Value = Delivery> {
        let rates = (0.001..0.999, 0.5..90.0, 0.001..0.999, 0.5..90.0);
        (0.0..100.0, rates).prop_map(|(lead, (late, days_late, early, days_early))| Delivery {
            lead,
            late,
            days_late,
            early,
            days_early,
        })
    }

    proptest! {
        #[test]
        fn waiting_raises_risk_and_slack_lowers_it(
            delivery in delivery(), due in -60.0..60.0, today in -90.0..90.0, more in 0.0..40.0,
        ) {
            let now = delivery.late_after(due, today);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&now));
            prop_assert!(delivery.late_after(due, today + more) >= now - 1e-12);
            prop_assert!(delivery.late_after(due + more, today) <= now + 1e-12);
            prop_assert!(delivery.delay(due + more, today, 60.0) <= delivery.delay(due, today, 60.0) + 1e-9);
        }

        #[test]
        fn a_quantile_is_exceeded_by_no_more_than_it_says(
            delivery in delivery(), due in -60.0..60.0, today in -90.0..90.0, p in 0.05..0.99,
        ) {
            let q = delivery.quantile(p, due, today);
            prop_assert!(delivery.late_after(due + q + 1e-6, today) <= 1.0 - p + 1e-6 || due + q < today - 1.0 + 1e-5);
            prop_assert!(q == 0.0 || delivery.late_after(due + q - 1e-6, today) >= 1.0 - p - 1e-6);
        }

        #[test]
        fn the_mean_is_the_integral_of_the_tail(delivery in delivery(), due in -30.0..30.0, today in -40.0..40.0) {
            let step = 1e-2;
            let sum: f64 = (0..6000).map(|i| delivery.late_after(due + (f64::from(i) + 0.5) * step, today) * step).sum();
            prop_assert!((delivery.delay(due, today, 60.0) - sum).abs() < 0.02, "{sum}");
        }
    }
}
