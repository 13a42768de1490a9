//! Which services each listener serves.

use std::sync::Arc;

use proto::bounds::MAX_SYNC_BYTES;
use proto::chat::v1::{
    chat_service_server::ChatServiceServer, git_account_service_server::GitAccountServiceServer,
    sync_admin_service_server::SyncAdminServiceServer, sync_service_server::SyncServiceServer,
};
use tonic::service::RoutesBuilder;

use super::Parts;
use crate::{
    config::Settings,
    grpc::{
        chat::ChatGrpc, git_account::GitAccountGrpc, sync::SyncGrpc, sync_admin::SyncAdminGrpc,
    },
    page_token::PageTokens,
    sync::{Dispatcher, DispatcherParts},
};

/// What users and platforms call.
pub(super) fn public(settings: &Settings, parts: &Parts) -> anyhow::Result<RoutesBuilder> {
    let providers = Arc::new(settings.providers.clone());
    let page_tokens = PageTokens::new(&parts.keys.derive("page-token"));
    let chat = ChatGrpc {
        store: parts.store.clone(),
        authorizer: parts.authorizer.clone(),
        auth: parts.auth.clone(),
        notifier: parts.notifier.clone(),
        watchers: parts.watchers.clone(),
        views: parts.views.clone(),
        page_tokens: page_tokens.clone(),
        providers: providers.clone(),
        refresh_timeout: *settings.refresh_timeout,
        stop: parts.stop.clone(),
    };
    let accounts = GitAccountGrpc {
        store: parts.store.clone(),
        authorizer: parts.authorizer.clone(),
        auth: parts.auth.clone(),
        notifier: parts.notifier.clone(),
        keys: parts.keys.clone(),
        page_tokens,
        providers,
    };
    let admin = SyncAdminGrpc {
        store: parts.store.clone(),
        authorizer: parts.authorizer.clone(),
        auth: parts.auth.clone(),
    };
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(ChatServiceServer::new(chat))
        .add_service(GitAccountServiceServer::new(accounts))
        .add_service(SyncAdminServiceServer::new(admin));
    add_reflection(settings, &mut routes)?;
    Ok(routes)
}

/// What gitsync-service calls.
pub(super) fn sync(settings: &Settings, parts: &Parts) -> anyhow::Result<RoutesBuilder> {
    let dispatcher = Dispatcher::new(DispatcherParts {
        store: parts.store.clone(),
        authorizer: parts.authorizer.clone(),
        notifier: parts.notifier.clone(),
        keys: parts.keys.clone(),
        providers: Arc::new(settings.providers.clone()),
        metrics: parts.metrics.sync.clone(),
        lease_duration: *settings.lease_duration,
        draining: parts.stop.clone(),
    });
    let sync = SyncGrpc {
        dispatcher,
        auth: parts.auth.clone(),
    };
    let mut routes = RoutesBuilder::default();
    routes.add_service(SyncServiceServer::new(sync).max_decoding_message_size(MAX_SYNC_BYTES));
    add_reflection(settings, &mut routes)?;
    Ok(routes)
}

/// Reflection, in both versions that clients ask for.
fn add_reflection(settings: &Settings, routes: &mut RoutesBuilder) -> anyhow::Result<()> {
    if !settings.reflection {
        return Ok(());
    }
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    routes
        .add_service(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?);
    Ok(())
}
