//! One rate limit window of a budget, as one lease sees it.

use std::{collections::BTreeMap, time::Duration};

use proto::sync::{Lane, Window};
use tokio::time::Instant;

use super::{Settings, WithholdReason};

/// Two windows whose ends are closer than this are one.
const SAME_WINDOW: Duration = Duration::from_secs(60);
/// How long the first request of a lease goes alone. Its answer says what is left; a host that is
/// slower than this does not hold up all refs of the lease, and refusals are the fastest of
/// answers.
const FIRST_ANSWER_WAIT: Duration = Duration::from_secs(1);

/// A value and when it was received: its durations count from there.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimedValue<T> {
    pub(super) value: T,
    at: Instant,
}

impl<T> TimedValue<T> {
    pub(super) fn now(value: T) -> Self {
        Self {
            value,
            at: Instant::now(),
        }
    }

    /// The rest of `duration` at `now`. `None`: it has passed.
    pub(super) fn left(&self, duration: Duration, now: Instant) -> Option<Duration> {
        duration.checked_sub(now.saturating_duration_since(self.at))
    }
}

impl TimedValue<Window> {
    fn reset_in(&self, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.at);
        let reset_in = self.value.reset_in;
        reset_in.map(|reset_in| reset_in.saturating_sub(passed))
    }

    /// The same window, with its durations as of `now`.
    fn as_of(&self, now: Instant) -> Window {
        Window {
            reset_in: self.reset_in(now),
            ..self.value.clone()
        }
    }
}

/// A window, and what is on the wire that spends it.
#[derive(Debug)]
pub(super) struct RateLimitWindow {
    /// As it was leased.
    leased: TimedValue<Window>,
    /// As the latest answer described it.
    observed: Option<TimedValue<Window>>,
    /// Its limit is spent: for how long nothing is sent.
    pause: Option<TimedValue<Duration>>,
    /// At most one request is on the wire at a time.
    serial: bool,
    in_flight: usize,
    /// Requests that wait for room, by lane.
    waiting: BTreeMap<Lane, usize>,
    answered: bool,
    /// Until when the first request goes alone, once it is sent.
    alone_until: Option<Instant>,
}

impl RateLimitWindow {
    pub(super) fn new(leased: Window) -> Self {
        Self {
            leased: TimedValue::now(leased),
            observed: None,
            pause: None,
            serial: false,
            in_flight: 0,
            waiting: BTreeMap::new(),
            answered: false,
            alone_until: None,
        }
    }

    /// Its own pause, which began before.
    pub(super) fn paused(&self) -> Option<TimedValue<Duration>> {
        self.pause
    }

    /// Goes on with a pause that began before.
    pub(super) fn resume(&mut self, pause: TimedValue<Duration>) {
        self.pause = Some(pause);
    }

    pub(super) fn serial(&mut self) {
        self.serial = true;
    }

    /// Whether refs of `lane` may spend `cost` more of it.
    ///
    /// Background lanes keep the reserve; where a person looks or waits, it may be used down to a
    /// floor. What is not known, or not limited, may be spent.
    ///
    /// # Errors
    ///
    /// [`WithholdReason::WindowPaused`] and [`WithholdReason::Reserved`].
    pub(super) fn may_spend(
        &self,
        settings: &Settings,
        lane: Lane,
        cost: i64,
        now: Instant,
    ) -> Result<(), WithholdReason> {
        if self.paused_for(now).is_some() {
            return Err(WithholdReason::WindowPaused);
        }
        // The remainder of a window is known until the window ends; after that, or without a known
        // end, a first request finds out.
        let latest = self.observed.as_ref().unwrap_or(&self.leased);
        let lasts = latest
            .reset_in(now)
            .is_some_and(|reset_in| !reset_in.is_zero());
        let ended = latest
            .value
            .reset_in
            .is_some_and(|reset_in| !reset_in.is_zero())
            && !lasts;
        let is_known = lasts || (self.observed.is_some() && !ended);
        let (limit, remaining) = (latest.value.limit, latest.value.remaining);
        let remaining = remaining.filter(|_| is_known);
        // An Enterprise host with rate limits turned off sends a limit of 0.
        let (Some(limit @ 1..), Some(remaining)) = (limit, remaining) else {
            return Ok(());
        };
        let kept = match lane {
            Lane::Interactive | Lane::Viewed => floor(settings, limit),
            Lane::Active | Lane::Idle => reserve(settings, limit),
        };
        if remaining.saturating_sub(cost) < kept {
            return Err(WithholdReason::Reserved);
        }
        Ok(())
    }

    /// Whether one more request may be on the wire beside those that are, with none waiting that is
    /// more urgent. What those cost may still have to be taken from what was left.
    pub(super) fn has_room(
        &self,
        settings: &Settings,
        lane: Lane,
        cost: i64,
        now: Instant,
    ) -> bool {
        if self.waiting.range(..lane).next().is_some() {
            return false;
        }
        if self.in_flight == 0 {
            return true;
        }
        let owed = i64::try_from(self.in_flight).unwrap_or(i64::MAX);
        !self.serial
            && self.in_flight < self.capacity(now)
            && self
                .may_spend(settings, lane, cost.saturating_add(owed), now)
                .is_ok()
    }

    /// How many requests the limit is known to bear beside each other. The first goes alone until
    /// it is answered, unless that takes too long.
    fn capacity(&self, now: Instant) -> usize {
        let observed = self.observed.as_ref().map(|observed| &observed.value);
        let limited = observed.filter(|window| window.limit != Some(0));
        match limited.and_then(|window| window.remaining) {
            Some(remaining) => usize::try_from(remaining).unwrap_or(0).max(1),
            None if self.answered || self.alone_until.is_some_and(|until| now >= until) => {
                usize::MAX
            }
            None => 1,
        }
    }

    pub(super) fn alone_until(&self) -> Option<Instant> {
        self.alone_until
    }

    /// A request of `lane` waits for room.
    pub(super) fn wait(&mut self, lane: Lane) {
        *self.waiting.entry(lane).or_default() += 1;
    }

    /// Ends the wait of a lane.
    pub(super) fn end_wait(&mut self, lane: Lane) {
        if let Some(count) = self.waiting.get_mut(&lane) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&lane);
            }
        }
    }

    /// Takes a place for a request.
    pub(super) fn begin(&mut self) {
        self.in_flight += 1;
    }

    /// The request is sent now. Returns whether it is the first.
    pub(super) fn sent(&mut self) -> bool {
        let first = self.alone_until.is_none();
        self.alone_until
            .get_or_insert_with(|| Instant::now() + FIRST_ANSWER_WAIT);
        first
    }

    /// Gives a request's place back.
    pub(super) fn end(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// An answer came that may not have described the window.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// Takes what an answer stated. Answers overtake one another: within a window the lowest
    /// remaining count is the latest.
    pub(super) fn observe(&mut self, new: Window) {
        self.answered = true;
        let newer = self.observed.as_ref().is_none_or(|observed| {
            let last = observed.reset_in(Instant::now()).unwrap_or_default();
            new.reset_in.unwrap_or_default() > last + SAME_WINDOW
                || new.remaining <= observed.value.remaining
        });
        if newer {
            self.observed = Some(TimedValue::now(new));
        }
    }

    /// The limit is spent. The first word stands. Returns whether this is it.
    pub(super) fn pause(&mut self, pause: Duration) -> bool {
        let last = self.pause;
        let last = last.and_then(|last| last.left(last.value, Instant::now()));
        let first = last.is_none_or(|left| left.is_zero());
        if first {
            self.pause = Some(TimedValue::now(pause));
        }
        first
    }

    /// How long nothing spends it.
    pub(super) fn paused_for(&self, now: Instant) -> Option<Duration> {
        let pause = self.pause.and_then(|pause| pause.left(pause.value, now));
        let leased = self.leased.value.pause_for;
        let leased = leased.and_then(|pause| self.leased.left(pause, now));
        pause.or(leased).filter(|left| !left.is_zero())
    }

    /// In how long there is something to spend again, if that is known.
    pub(super) fn ends_in(&self, now: Instant) -> Option<Duration> {
        let latest = self.observed.as_ref().unwrap_or(&self.leased);
        let ends = self.paused_for(now).or_else(|| latest.reset_in(now));
        ends.filter(|end| !end.is_zero())
    }

    /// The observation to report. `None`: nothing was learned.
    pub(super) fn observation(&self, name: &str, now: Instant) -> Option<Window> {
        let observed = self.observed.as_ref().map(|observed| observed.as_of(now));
        let pause_for = self.pause.and_then(|pause| pause.left(pause.value, now));
        (observed.is_some() || pause_for.is_some()).then(|| Window {
            name: name.to_owned(),
            pause_for,
            ..observed.unwrap_or_default()
        })
    }
}

/// The reserve of a limit that background lanes leave to the owner. Never the whole limit, however
/// small it is.
pub(super) fn reserve(settings: &Settings, limit: i64) -> i64 {
    percent(limit, settings.reserve_percent)
        .max(i64::from(settings.reserve_least))
        .min(limit.saturating_sub((limit / 10).max(1)))
}

/// The reserve that even viewed refs leave: zero if background lanes may spend the whole limit.
fn floor(settings: &Settings, limit: i64) -> i64 {
    percent(limit, settings.interactive_floor_percent).min(reserve(settings, limit))
}

fn percent(limit: i64, percent: u32) -> i64 {
    limit.saturating_mul(i64::from(percent)) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

    fn window(limit: i64, remaining: i64) -> Window {
        Window {
            limit: Some(limit),
            remaining: Some(remaining),
            reset_in: Some(HALF_AN_HOUR),
            ..Window::default()
        }
    }

    fn may_spend(window: Window, lane: Lane) -> bool {
        RateLimitWindow::new(window)
            .may_spend(&Settings::default(), lane, 1, Instant::now())
            .is_ok()
    }

    #[test]
    fn forty_percent_are_kept_from_background_lanes_and_a_tenth_from_what_a_person_looks_at() {
        for (lane, kept) in [
            (Lane::Active, 2000),
            (Lane::Idle, 2000),
            (Lane::Interactive, 500),
            (Lane::Viewed, 500),
        ] {
            assert!(may_spend(window(5000, kept + 1), lane));
            assert!(!may_spend(window(5000, kept), lane));
            assert!(may_spend(Window::default(), lane), "an unknown window");
            assert!(may_spend(window(0, 0), lane), "a window that is off");
        }
    }

    #[test]
    fn a_paused_window_is_not_spent_whatever_is_left_and_no_answer_ends_the_pause() {
        let settings = Settings::default();
        let paused = Window {
            pause_for: Some(Duration::from_secs(1)),
            ..window(5000, 5000)
        };
        let mut leased = RateLimitWindow::new(paused);
        let mut spent = RateLimitWindow::new(window(5000, 5000));
        assert!(spent.pause(HALF_AN_HOUR) && !spent.pause(HALF_AN_HOUR * 2));
        for window in [&mut leased, &mut spent] {
            window.observe(self::window(5000, 4999));
            assert_eq!(
                window.may_spend(&settings, Lane::Interactive, 1, Instant::now()),
                Err(WithholdReason::WindowPaused)
            );
        }
        assert!(spent.paused_for(Instant::now()) <= Some(HALF_AN_HOUR));
    }

    #[test]
    fn what_was_left_of_a_window_without_an_end_ahead_is_not_known() {
        for reset_in in [None, Some(Duration::ZERO)] {
            let over = Window {
                reset_in,
                ..window(60, 0)
            };
            assert!(may_spend(over.clone(), Lane::Idle));
            let mut observed = RateLimitWindow::new(over.clone());
            observed.observe(over);
            assert_eq!(
                observed.may_spend(&Settings::default(), Lane::Idle, 1, Instant::now()),
                Err(WithholdReason::Reserved)
            );
        }
    }

    #[test]
    fn what_was_closed_is_open_once_its_known_end_has_passed() {
        let settings = Settings::default();
        let paused = Window {
            pause_for: Some(HALF_AN_HOUR / 2),
            ..window(5000, 5000)
        };
        let mut pausing = RateLimitWindow::new(Window::default());
        pausing.pause(HALF_AN_HOUR / 2);
        let mut observed = RateLimitWindow::new(Window::default());
        observed.observe(window(5000, 0));
        let leased = [paused, window(5000, 0)].map(RateLimitWindow::new);
        for window in leased.into_iter().chain([pausing, observed]) {
            let now = Instant::now();
            let check = |at| window.may_spend(&settings, Lane::Idle, 1, at);
            assert!(check(now).is_err());
            assert_eq!(check(now + HALF_AN_HOUR), Ok(()));
        }
    }

    #[test]
    fn a_request_waits_behind_those_that_are_more_urgent() {
        let (settings, now) = (Settings::default(), Instant::now());
        let mut window = RateLimitWindow::new(Window::default());
        let has_room = |window: &RateLimitWindow, lane| window.has_room(&settings, lane, 1, now);
        window.wait(Lane::Viewed);
        assert!(!has_room(&window, Lane::Idle));
        assert!(has_room(&window, Lane::Viewed) && has_room(&window, Lane::Interactive));
        window.end_wait(Lane::Viewed);
        assert!(has_room(&window, Lane::Idle));
    }

    #[test]
    fn of_the_smallest_limits_one_may_be_spent_and_nothing_by_background_lanes_only() {
        assert_eq!(reserve(&Settings::default(), 60), 54);
        assert_eq!(reserve(&Settings::default(), 400), 200);
        for interactive_floor_percent in [0, 10, 40, 100] {
            let settings = Settings {
                interactive_floor_percent,
                ..Settings::default()
            };
            for limit in [1, 5, 9, 10, 19, 60] {
                for remaining in 0..=limit {
                    let window = RateLimitWindow::new(window(limit, remaining));
                    let [idle, viewed] = [Lane::Idle, Lane::Viewed]
                        .map(|lane| window.may_spend(&settings, lane, 1, Instant::now()).is_ok());
                    assert!(viewed || !idle, "{remaining} of {limit}");
                    assert!(idle || remaining < limit, "{remaining} of {limit}");
                }
            }
        }
    }

    #[test]
    fn the_first_request_goes_alone_and_then_as_many_as_are_left_and_not_reserved() {
        let (settings, now) = (Settings::default(), Instant::now());
        let mut window = RateLimitWindow::new(Window::default());
        let has_room = |window: &RateLimitWindow| window.has_room(&settings, Lane::Viewed, 1, now);
        assert!(has_room(&window));
        window.begin();
        assert!(window.sent() && !has_room(&window));
        window.observe(self::window(60, 10));
        for _ in 1..4 {
            assert!(has_room(&window));
            window.begin();
        }
        // Ten are left, of which six are the owner's.
        assert!(!has_room(&window));
        window.end();
        assert!(has_room(&window));
        window.serial();
        assert!(!has_room(&window));
    }

    #[test]
    fn within_a_window_the_least_that_is_left_is_the_latest() {
        let now = Instant::now();
        let mut observed = RateLimitWindow::new(Window::default());
        let remaining = |observed: &RateLimitWindow| {
            observed
                .observation("core", now)
                .and_then(|seen| seen.remaining)
        };
        assert_eq!(observed.observation("core", now), None);
        for (answered, latest) in [(10, 10), (12, 10), (9, 9)] {
            observed.observe(window(60, answered));
            assert_eq!(remaining(&observed), Some(latest));
        }
        observed.observe(Window {
            reset_in: Some(HALF_AN_HOUR * 3),
            ..window(60, 60)
        });
        assert_eq!(remaining(&observed), Some(60));
    }
}
