//! Which messages hold a secret: those have no `Debug`, so that none can be logged by accident.

use std::collections::BTreeSet;

use super::DescriptorPool;

/// What holds a secret, wherever it is.
const SECRET_FIELDS: [&str; 3] = ["access_token", "refresh_token", "password"];

/// The full names of the messages that hold a secret, also in a field of a field.
pub(crate) fn secret_messages(pool: &DescriptorPool) -> BTreeSet<String> {
    let mut secret = BTreeSet::new();
    loop {
        let known = secret.len();
        for message in pool.all_messages() {
            let is_secret = message.fields().any(|field| {
                let kind = field.kind();
                let inner = kind.as_message();
                SECRET_FIELDS.contains(&field.name())
                    || inner.is_some_and(|inner| secret.contains(inner.full_name()))
            });
            if is_secret {
                secret.insert(message.full_name().to_owned());
            }
        }
        if secret.len() == known {
            return secret;
        }
    }
}
