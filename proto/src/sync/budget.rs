//! A budget as it is known, and a report's observations of it.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    GitAccountId, Lane, ProblemClass,
    field::{FieldError, Wire, carried_by, distinct, message, read},
};
use crate::{
    bounds::{MAX_ACCOUNT_ID_BYTES, MAX_PAUSE, MAX_REFUSALS, MAX_WINDOW_NAME_BYTES, MAX_WINDOWS},
    chat::v1,
};

message! {
    /// A budget as the reports of all workers together describe it.
    #[derive(Clone, Debug, Default, PartialEq)]
    BudgetView = v1::BudgetView {
        /// The rate limits that it spends.
        lenient windows: Vec<Window>,
        /// Secondary limits met, less one for each hour without any.
        secondary_strikes: u32,
        /// For how long to ask less and slower. `None`: not now.
        lenient cautious_for: Option<Duration>,
        /// Refs per second that its refs ask for at their base intervals.
        demand: f64,
        /// Whether the host has identified the account.
        account_known: bool,
        /// How often an operator has resumed it: the fence of what is observed of it.
        resumes: i64,
    }
}

impl BudgetView {
    /// The window of this name; the default, of which nothing is known, if there is no such window.
    #[must_use]
    pub fn window(&self, name: &str) -> Window {
        let known = self.windows.iter().find(|window| window.name == name);
        known.cloned().unwrap_or_else(|| Window {
            name: name.to_owned(),
            ..Window::default()
        })
    }
}

message! {
    /// One named rate limit of a budget. `None` is unknown.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    Window = v1::Window, with Window::fitted {
        /// The provider's name for it.
        name: String,
        /// Requests, or points, allowed per window.
        limit: Option<i64>,
        /// Left in it.
        remaining: Option<i64>,
        /// Until it ends.
        reset_in: Option<Duration>,
        /// From one reset to the next.
        length: Option<Duration>,
        /// Nothing may spend it before this has passed.
        pause_for: Option<Duration>,
    }
}

impl Window {
    fn fitted(mut self) -> Result<Self, FieldError> {
        let name = &self.name;
        if name.is_empty() || name.len() > MAX_WINDOW_NAME_BYTES || name.contains('\0') {
            let problem = format!("must have 1 to {MAX_WINDOW_NAME_BYTES} bytes");
            return Err(FieldError::new("name", problem));
        }
        for (field, value) in [("limit", self.limit), ("remaining", self.remaining)] {
            if value.is_some_and(|value| value < 0) {
                return Err(FieldError::new(field, "must not be negative"));
            }
        }
        for duration in [&mut self.reset_in, &mut self.length, &mut self.pause_for] {
            *duration = duration.map(|duration| duration.min(MAX_PAUSE));
        }
        Ok(self)
    }
}

/// For how long a budget spends nothing, for which lanes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// How long.
    pub duration: Duration,
    /// Why, as owners see it.
    pub class: ProblemClass,
    /// The most urgent lane that pauses; less urgent ones pause, too.
    pub from_lane: Lane,
}

impl Pause {
    fn read(message: v1::Pause) -> Result<Self, FieldError> {
        Ok(Self {
            duration: read::<_, Duration>("duration", message.duration)?.min(MAX_PAUSE),
            class: read("class", message.class)?,
            from_lane: Lane::read_or(Lane::Interactive, "from_lane", message.from_lane)?,
        })
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> v1::Pause {
        v1::Pause {
            duration: self.duration.message(),
            class: self.class.into(),
            from_lane: self.from_lane.message().into(),
        }
    }
}

carried_by!(Pause, v1::Pause);

message! {
    /// A budget as the host's responses describe it.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    BudgetObservation = v1::BudgetObservation, with BudgetObservation::fitted {
        /// The id of the account whose rate limit it is, as the host reports it.
        account_id: Option<String>,
        /// The windows that responses described.
        windows: Vec<Window>,
        /// The host wants no requests.
        pause: Option<Pause>,
        /// The worker chose not to send.
        rest: Option<Pause>,
        /// Secondary limits met since the last report.
        secondary_refusals: u32,
        /// [`BudgetView::resumes`] of the lease.
        resumes: i64,
    }
}

impl BudgetObservation {
    fn fitted(mut self) -> Result<Self, FieldError> {
        self.account_id.take_if(|id| id.is_empty());
        if !self.account_id.as_deref().is_none_or(is_host_id) {
            return Err(FieldError::new("account_id", "must be an account's id"));
        }
        let names = self.windows.iter().map(|window| &window.name);
        distinct("windows", MAX_WINDOWS, "name", names)?;
        self.secondary_refusals = self.secondary_refusals.min(MAX_REFUSALS);
        Ok(self)
    }
}

message! {
    /// A credential as the host's responses describe it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    CredentialObservation = v1::CredentialObservation {
        /// Whose.
        account as credential_id: GitAccountId,
        /// Of which of its tokens.
        generation: i64,
        /// It refused it; else it took it.
        refused: bool,
        /// When the token expires, by the host's clock; `None` if the host did not say.
        expires_at: Option<Timestamp>,
    }
}

/// Whether a text can be the host's id of an account or of an installation: 1 to
/// [`MAX_ACCOUNT_ID_BYTES`] visible ASCII characters, without the separator of budget keys.
#[must_use]
pub fn is_host_id(text: &str) -> bool {
    (1..=MAX_ACCOUNT_ID_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'|')
}
