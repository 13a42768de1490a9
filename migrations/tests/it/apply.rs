//! From empty to head, twice at once, and what is refused.

use migrations::{ALL, Applied, CURRENT, apply};

#[tokio::test]
async fn an_empty_database_is_brought_to_the_current_version() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    let applied = apply(&mut client).await.unwrap();
    assert_eq!(applied.from, 0);
    assert_eq!(applied.to, CURRENT);
    assert_eq!(applied.names.len(), ALL.len());
    migrations::require_current(&client).await.unwrap();

    let again = apply(&mut client).await.unwrap();
    assert_eq!(
        again,
        Applied {
            from: CURRENT,
            to: CURRENT,
            names: Vec::new()
        }
    );
}
