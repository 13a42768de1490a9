//! What a lookup asks: each question once for as long as the session lives.

use std::sync::Arc;

use url::Url;

use crate::{
    lease::RepositoryPath,
    outcome::{Problem, ReviewSummary},
    provider::gate::Asker,
};

use super::{
    super::{
        client::{Endpoint, Fetched},
        model::{ListedPull, Pull, Review, owner_and_name},
        reviews::summarize,
        validator::Validator,
    },
    Fresh, Listed, MAX_REVIEW_PAGES, PULLS_PER_PAGE, REVIEWS_PER_PAGE, Session, Told,
};

impl Session {
    /// Whether the pull request and its reviews are as they were. What was not is kept for the
    /// questions that follow.
    pub(super) async fn is_unchanged(
        &self,
        asker: &Asker<'_>,
        repository: &RepositoryPath,
        number: i32,
        validator: &Validator,
    ) -> Result<bool, Problem> {
        let url = self.pull_url(repository, number)?;
        let pull = self
            .client
            .get::<Pull>(asker, Endpoint::GetPull, url, Some(&validator.pull))
            .await?;
        match pull {
            Fetched::Unchanged => {
                let url = self.reviews_url(repository, number)?;
                let reviews = self
                    .client
                    .get::<Vec<Review>>(asker, Endpoint::ListReviews, url, Some(&validator.reviews))
                    .await?;
                Ok(matches!(reviews, Fetched::Unchanged))
            }
            Fetched::Missing => {
                let missing = || async { Ok(None) };
                self.pulls
                    .get((repository.clone(), number), missing)
                    .await?;
                Ok(false)
            }
            Fetched::Answer(answer) => {
                let fresh = Arc::new(Fresh {
                    what: answer.body,
                    validator: answer.validator,
                });
                let fetched = || async { Ok(Some(fresh)) };
                self.pulls
                    .get((repository.clone(), number), fetched)
                    .await?;
                Ok(false)
            }
        }
    }

    pub(super) async fn pull(
        &self,
        asker: &Asker<'_>,
        repository: &RepositoryPath,
        number: i32,
    ) -> Result<Option<Arc<Fresh<Pull>>>, Problem> {
        self.pulls
            .get((repository.clone(), number), || async {
                let url = self.pull_url(repository, number)?;
                let fetched = self.client.get(asker, Endpoint::GetPull, url, None).await?;
                Ok(fetched.answer()?.map(|answer| {
                    Arc::new(Fresh {
                        what: answer.body,
                        validator: answer.validator,
                    })
                }))
            })
            .await
    }

    fn pull_url(&self, repository: &RepositoryPath, number: i32) -> Result<Url, Problem> {
        let (owner, name) = owner_and_name(repository)?;
        self.client
            .url(&["repos", owner, name, "pulls", &number.to_string()], &[])
    }

    fn reviews_url(&self, repository: &RepositoryPath, number: i32) -> Result<Url, Problem> {
        let (owner, name) = owner_and_name(repository)?;
        let number = number.to_string();
        self.client.url(
            &["repos", owner, name, "pulls", &number, "reviews"],
            &[("per_page", REVIEWS_PER_PAGE)],
        )
    }

    pub(super) async fn repository(
        &self,
        asker: &Asker<'_>,
        repository: &RepositoryPath,
    ) -> Result<Option<Arc<Told>>, Problem> {
        self.repositories
            .get(repository.clone(), || async {
                let (owner, name) = owner_and_name(repository)?;
                let url = self.client.url(&["repos", owner, name], &[])?;
                let fetched = self
                    .client
                    .get(asker, Endpoint::GetRepository, url, None)
                    .await?;
                Ok(fetched.answer()?.map(|answer| {
                    Arc::new(Told {
                        info: answer.body,
                        moved: answer.moved,
                    })
                }))
            })
            .await
    }

    /// The open pull requests in `repository` that bring `branch` of an account's repositories,
    /// and perhaps others. `None` when the repository does not exist for this token.
    pub(super) async fn list_open(
        &self,
        asker: &Asker<'_>,
        repository: &RepositoryPath,
        head: &RepositoryPath,
        branch: &str,
    ) -> Result<Option<Listed>, Problem> {
        let question = (repository.clone(), head.clone(), branch.to_owned());
        self.open_pulls
            .get(question, || async {
                let (owner, name) = owner_and_name(repository)?;
                let (head_owner, _) = owner_and_name(head)?;
                let url = self.client.url(
                    &["repos", owner, name, "pulls"],
                    &[
                        ("state", "open"),
                        ("head", &format!("{head_owner}:{branch}")),
                        ("sort", "updated"),
                        ("direction", "desc"),
                        ("per_page", PULLS_PER_PAGE),
                    ],
                )?;
                let fetched = self
                    .client
                    .get::<Vec<ListedPull>>(asker, Endpoint::ListPulls, url, None)
                    .await?;
                Ok(fetched.answer()?.map(|answer| Listed {
                    pulls: answer.body.into(),
                    moved: answer.moved,
                }))
            })
            .await
    }

    pub(super) async fn reviews(
        &self,
        asker: &Asker<'_>,
        repository: &RepositoryPath,
        number: i32,
    ) -> Result<Fresh<ReviewSummary>, Problem> {
        self.reviews
            .get((repository.clone(), number), || {
                self.ask_reviews(asker, repository, number)
            })
            .await
    }

    /// All reviews: they come oldest first, so the last page is the one that counts.
    async fn ask_reviews(
        &self,
        asker: &Asker<'_>,
        repository: &RepositoryPath,
        number: i32,
    ) -> Result<Fresh<ReviewSummary>, Problem> {
        let mut url = self.reviews_url(repository, number)?;
        let mut reviews = Vec::new();
        for page_number in 0..MAX_REVIEW_PAGES {
            let page = self
                .client
                .get::<Vec<Review>>(asker, Endpoint::ListReviews, url, None)
                .await?
                .answer()?
                .ok_or(Problem::NotReady)?;
            reviews.extend(page.body);
            match page.next {
                Some(next) => url = next,
                None => {
                    return Ok(Fresh {
                        what: summarize(&reviews),
                        // That a first page is as it was says nothing about a second one.
                        validator: page.validator.filter(|_| page_number == 0),
                    });
                }
            }
        }
        Err(Problem::HostAnswerInvalid("too many pages of reviews"))
    }
}
