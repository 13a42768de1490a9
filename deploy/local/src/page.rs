//! The page with the chat list: links that sign in, each once.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{files::write_private, people::Tokens};

/// Roles that have a link: the chats' owner, and a colleague who is a reader of some.
const READERS: [&str; 2] = ["owner", "colleague"];

/// The one-time codes with which the page can be opened.
pub(crate) struct Page {
    /// By role.
    codes: [(&'static str, String); 2],
    /// The file that chat-service reads them from.
    pub(crate) file: PathBuf,
}

impl Page {
    /// Makes codes, and writes them for chat-service.
    pub(crate) fn new(directory: &Path, tokens: &Tokens) -> anyhow::Result<Self> {
        // 122 random bits each.
        let codes = READERS.map(|role| (role, Uuid::new_v4().simple().to_string()));
        let mut signs_in = serde_json::Map::new();
        for (role, code) in &codes {
            signs_in.insert(code.clone(), tokens.of(role)?.into());
        }
        let file = directory.join("sign-in.json");
        write_private(&file, &Value::Object(signs_in).to_string())?;
        Ok(Self { codes, file })
    }

    /// The page's addresses at chat-service, by role.
    pub(crate) fn addresses(&self, chat_service: &str) -> [(&'static str, String); 2] {
        self.codes
            .each_ref()
            .map(|(role, code)| (*role, format!("{chat_service}/#sign-in={code}")))
    }

    /// The same for programs.
    pub(crate) fn json(&self, chat_service: &str) -> Value {
        let addresses = self.addresses(chat_service);
        json!(std::collections::BTreeMap::from(addresses))
    }
}
