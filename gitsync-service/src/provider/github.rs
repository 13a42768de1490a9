//! GitHub and GitHub Enterprise.
//!
//! [`client`] is the one place that sends. REST asks for one ref: [`model`] is what is read of an
//! answer, [`reviews`] what reviews amount to, [`validator`] how to ask whether anything changed, and
//! [`lookup`] the way from a branch to a pull request's status. [`graphql`] asks for many refs at once.
//! [`rate_limit`] and [`refusal`] are GitHub's rules for both, as pure functions.

mod client;
mod graphql;
mod lookup;
mod model;
mod rate_limit;
mod refusal;
mod reviews;
mod validator;

use crate::outcome::Problem;

use super::{
    batch::{BranchQuestion, Discovered, Looked, NumberQuestion, Queried, Seen},
    gate::Asker,
};

pub(crate) use client::HttpClient;
pub use client::{CONNECT_TIMEOUT, MAX_BODY_BYTES, REQUEST_TIMEOUT};
pub use lookup::MAX_REVIEW_PAGES;
pub(crate) use lookup::Session;

/// Questions for many, over GraphQL. The caller holds the pass.
impl Session {
    pub(crate) async fn probe(
        &self,
        asker: &Asker<'_>,
        ids: &[&str],
    ) -> Result<Queried<Option<String>>, Problem> {
        graphql::probe(&self.client, asker, ids).await
    }

    pub(crate) async fn look(
        &self,
        asker: &Asker<'_>,
        ids: &[&str],
        whole: &[&str],
    ) -> Result<Queried<Looked>, Problem> {
        graphql::look(&self.client, asker, ids, whole).await
    }

    pub(crate) async fn detail(
        &self,
        asker: &Asker<'_>,
        ids: &[&str],
    ) -> Result<Queried<Option<Seen>>, Problem> {
        graphql::detail(&self.client, asker, ids).await
    }

    pub(crate) async fn numbers(
        &self,
        asker: &Asker<'_>,
        questions: &[NumberQuestion<'_>],
    ) -> Result<Queried<Option<Seen>>, Problem> {
        graphql::numbers(&self.client, asker, questions).await
    }

    pub(crate) async fn discover(
        &self,
        asker: &Asker<'_>,
        questions: &[BranchQuestion<'_>],
    ) -> Result<Queried<Discovered>, Problem> {
        graphql::discover(&self.client, asker, questions).await
    }
}
