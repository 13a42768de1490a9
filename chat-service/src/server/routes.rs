//! The services of each listener.

use std::sync::Arc;

use proto::bounds::MAX_SYNC_BYTES;
use proto::chat::v1::{
    chat_service_server::ChatServiceServer, git_account_service_server::GitAccountServiceServer,
    sync_admin_service_server::SyncAdminServiceServer, sync_service_server::SyncServiceServer,
};
use proto::externalscaler::external_scaler_server::ExternalScalerServer;
use service_runtime::services::{ServiceSet, Services};

use super::{ServerParts, health::WATCHING};
use crate::{
    config::Settings,
    events::revision::Revisions,
    grpc::{
        chat::ChatGrpc, git_account::GitAccountGrpc, scaler::ScalerGrpc, sync::SyncGrpc,
        sync_admin::SyncAdminGrpc,
    },
    page_token::PageTokens,
    sync::{Dispatcher, DispatcherParts},
};

/// The services for users and platforms.
pub(super) async fn public(settings: &Settings, parts: &ServerParts) -> anyhow::Result<ServiceSet> {
    let providers = Arc::new(settings.providers.clone());
    let page_tokens = PageTokens::new(&parts.keys.derive("page-token"));
    let chat = ChatGrpc {
        store: parts.store.clone(),
        authorizer: parts.authorizer.clone(),
        notifier: parts.notifier.clone(),
        watchers: parts.watchers.clone(),
        revisions: Revisions::new(&parts.keys.derive("watch-revision")),
        views: parts.views.clone(),
        page_tokens: page_tokens.clone(),
        providers: providers.clone(),
        refresh_timeout: *settings.refresh_timeout,
    };
    let accounts = GitAccountGrpc {
        store: parts.store.clone(),
        authorizer: parts.authorizer.clone(),
        notifier: parts.notifier.clone(),
        keys: parts.keys.clone(),
        page_tokens,
        providers,
    };
    let admin = SyncAdminGrpc {
        store: parts.store.clone(),
        authorizer: parts.authorizer.clone(),
        notifier: parts.notifier.clone(),
    };
    let services = Services::new()
        .with(ChatServiceServer::new(chat))
        .with(GitAccountServiceServer::new(accounts))
        .with(SyncAdminServiceServer::new(admin));
    let served = services.finish(settings.reflection).await?;
    // Set before the listener serves, so that no probe finds it unknown.
    served.health.set_one(WATCHING, false).await;
    Ok(served)
}

/// The services for gitsync-service.
pub(super) async fn sync(settings: &Settings, parts: &ServerParts) -> anyhow::Result<ServiceSet> {
    let dispatcher = Dispatcher::new(DispatcherParts {
        store: parts.store.reserved(),
        authorizer: parts.authorizer.clone(),
        notifier: parts.notifier.clone(),
        keys: parts.keys.clone(),
        providers: Arc::new(settings.providers.clone()),
        renewals: parts.renewals.clone(),
        metrics: parts.metrics.sync.clone(),
        lease_duration: *settings.lease_duration,
        draining: parts.close.clone(),
    });
    let sync = SyncServiceServer::new(SyncGrpc { dispatcher });
    let services = Services::new().with(sync.max_decoding_message_size(MAX_SYNC_BYTES));
    Ok(services.finish(settings.reflection).await?)
}

/// The services for KEDA.
pub(super) async fn scaler(settings: &Settings, parts: &ServerParts) -> anyhow::Result<ServiceSet> {
    let scaler = ScalerGrpc {
        store: parts.store.reserved(),
        notifier: parts.notifier.clone(),
    };
    let services = Services::new().with(ExternalScalerServer::new(scaler));
    Ok(services.finish(settings.reflection).await?)
}
