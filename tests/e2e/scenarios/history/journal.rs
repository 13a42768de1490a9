//! What was done to the chats of a history, and when: the model that watchers are held against.
//!
//! A change happens at one moment between its call and its answer. What is asked of the journal is
//! whether something can have been so at a moment, and it says no only where no order of the
//! moments allows it.

use std::time::Instant;

use super::cast::{Role, ShareTarget};

/// The chats of a history.
#[derive(Default)]
pub(super) struct Journal(pub(super) Vec<Record>);

/// One chat.
pub(super) struct Record {
    pub(super) id: String,
    pub(super) owner: Role,
    pub(super) in_organization: bool,
    /// Every title that it was to have, and when that was first asked for.
    titles: Vec<(String, Instant)>,
    shares: Vec<Share>,
    /// When its deletion was first asked for.
    pub(super) deleted: Option<Instant>,
    /// The number of the pull request of the chat's own branch.
    pub(super) pull_request: Option<u64>,
    /// How often something can have been raised of it.
    pub(super) may_raise: usize,
    /// When what was surely raised of it began.
    pub(super) raised: Vec<Instant>,
}

/// A share that is added to a chat, or removed from it.
struct Share {
    target: ShareTarget,
    adds: bool,
    began: Instant,
    /// When the call succeeded; none until then.
    ended: Option<Instant>,
}

/// A share whose call is not answered yet.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    chat: usize,
    share: usize,
}

impl Journal {
    pub(super) fn of(&self, id: &str) -> Option<&Record> {
        self.0.iter().find(|record| record.id == id)
    }

    /// Notes that a share with `target` is about to be added or removed.
    pub(super) fn begin_share(&mut self, chat: usize, target: ShareTarget, adds: bool) -> Pending {
        let shares = &mut self.0[chat].shares;
        shares.push(Share {
            target,
            adds,
            began: Instant::now(),
            ended: None,
        });
        Pending {
            chat,
            share: shares.len() - 1,
        }
    }

    /// Notes that it was added or removed.
    pub(super) fn end_share(&mut self, pending: Pending) {
        self.0[pending.chat].shares[pending.share].ended = Some(Instant::now());
    }
}

impl Record {
    pub(super) fn new(
        id: String,
        owner: Role,
        in_organization: bool,
        title: (String, Instant),
    ) -> Self {
        Self {
            id,
            owner,
            in_organization,
            titles: vec![title],
            shares: Vec::new(),
            deleted: None,
            pull_request: None,
            may_raise: 0,
            raised: Vec::new(),
        }
    }

    pub(super) fn begin_title(&mut self, title: &str) {
        self.titles.push((title.to_owned(), Instant::now()));
    }

    /// When the chat can first have had this title.
    pub(super) fn titled(&self, title: &str) -> Option<Instant> {
        let mut titles = self.titles.iter();
        titles.find(|(of, _)| of == title).map(|(_, began)| *began)
    }

    /// When the chat can first have been there.
    pub(super) fn created(&self) -> Instant {
        self.titles[0].1
    }

    /// Whether this caller can have read the chat at some moment between these two.
    pub(super) fn readable(&self, role: Role, from: Instant, to: Instant) -> bool {
        let by_office = match role {
            Role::Owner | Role::Colleague | Role::Stranger => self.owner == role,
            Role::Administrator => self.in_organization,
            Role::Auditor | Role::Internal => true,
            Role::Reader | Role::Member | Role::Guest | Role::Suspended => false,
        };
        let shares = role.shares().iter();
        by_office
            || shares
                .into_iter()
                .any(|target| self.shared(*target, from, to))
    }

    /// Whether this caller can have lost the chat before this moment, with the chat or without it.
    pub(super) fn losable(&self, role: Role, to: Instant) -> bool {
        let taken = |share: &Share| {
            !share.adds && share.began <= to && role.shares().contains(&share.target)
        };
        self.deleted.is_some_and(|began| began <= to) || self.shares.iter().any(taken)
    }

    fn shared(&self, target: ShareTarget, from: Instant, to: Instant) -> bool {
        let of = |share: &&Share| share.target == target;
        let added = self.shares.iter().filter(of).filter(|share| share.adds);
        added.filter(|add| add.began <= to).any(|add| {
            let moment = from.max(add.began);
            let mut taken = self.shares.iter().filter(of).filter(|share| !share.adds);
            // Taken away after it was surely given, and before the moment.
            !taken.any(|share| {
                add.ended.is_some_and(|ended| ended < share.began)
                    && share.ended.is_some_and(|ended| ended < moment)
            })
        })
    }
}
