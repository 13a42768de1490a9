//! The services of one listener. Routes, health, reflection and [`Methods`] are made from the same
//! list, so that each of them names the services of the listener and no others.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use axum::response::IntoResponse;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use proto::bounds::{MAX_REQUEST_BYTES, MAX_REQUESTS};
use tokio::sync::Mutex;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_reflection::server::Builder;
use tower::Service;

use crate::{
    described::{files_of, full_name},
    wire::{Scanner, Shapes},
};

/// Services that need no token.
///
/// Balancers and probes ask for health without one, reflection answers only from the published
/// `.proto` files, and KEDA can send none: its listener answers counts alone. None reads data of a
/// user. A service that is not named here needs a token.
const OPEN: [&str; 4] = [
    "grpc.health.v1.Health",
    "externalscaler.ExternalScaler",
    REFLECTION,
    REFLECTION_ALPHA,
];
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// The services of one listener; health is always one of them.
pub struct Services {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    reporter: HealthReporter,
}

/// The services that a listener serves, ready to be served.
pub struct ServiceSet {
    /// From a call's path to its service.
    pub routes: Routes,
    /// The methods that may be called.
    pub methods: Methods,
    /// Says whether these services are of use.
    pub health: Health,
}

impl Services {
    /// Health alone.
    #[must_use]
    pub fn new() -> Self {
        let (reporter, health) = tonic_health::server::health_reporter();
        let services = Self {
            routes: RoutesBuilder::default(),
            names: Vec::new(),
            reporter,
        };
        services.with(health)
    }

    /// These, and `service`.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes.add_service(service);
        self
    }

    /// These, ready to be served: described by reflection if `reflection`, in both versions that
    /// clients ask for, and not serving until [`Health::set`] says so.
    ///
    /// # Errors
    ///
    /// When the descriptors of the contract are damaged.
    pub async fn finish(
        mut self,
        reflection: bool,
    ) -> Result<ServiceSet, tonic_reflection::server::Error> {
        if reflection {
            self.names.extend([REFLECTION, REFLECTION_ALPHA]);
        }
        let files = files_of(&self.names);
        if reflection {
            let builder = || {
                let described = FileDescriptorSet {
                    file: files.clone(),
                };
                let builder = Builder::configure().register_file_descriptor_set(described);
                let named = self.names.iter().copied();
                named.fold(builder, Builder::with_service_name)
            };
            let (current, alpha) = (builder().build_v1()?, builder().build_v1alpha()?);
            self.routes.add_service(current).add_service(alpha);
        }
        let health = Health {
            reporter: self.reporter,
            // The empty name stands for all of them.
            names: [""].into_iter().chain(self.names.iter().copied()).collect(),
            said: Arc::default(),
        };
        health.set(false).await;
        Ok(ServiceSet {
            routes: self.routes.routes(),
            methods: Methods::of(&self.names, &files),
            health,
        })
    }
}

impl Default for Services {
    fn default() -> Self {
        Self::new()
    }
}

/// Tells clients of `grpc.health.v1.Health` whether the services of a listener are of use. Cheap to
/// clone.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    names: Arc<[&'static str]>,
    said: Arc<Mutex<BTreeMap<&'static str, bool>>>,
}

impl Health {
    /// Sets the status of all services. Watchers are notified only if it has changed.
    pub async fn set(&self, serving: bool) {
        for name in self.names.iter() {
            self.set_one(name, serving).await;
        }
    }

    /// Sets the status of one name, which may be that of a part of a service. Watchers are notified
    /// only if it has changed.
    pub async fn set_one(&self, name: &'static str, serving: bool) {
        let mut said = self.said.lock().await;
        if said.insert(name, serving) == Some(serving) {
            return;
        }
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.reporter.set_service_status(name, status).await;
    }
}

/// The methods of a listener and the shapes of their requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Methods(Arc<Table>);

#[derive(Debug)]
struct Table {
    by_path: BTreeMap<String, Method>,
    shapes: Arc<Shapes>,
}

/// One RPC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// It needs no token.
    pub(crate) open: bool,
    /// The index of its requests' shape.
    shape: usize,
    /// Bytes of a request at most.
    most: usize,
}

impl Methods {
    /// The methods of the services with these names, which `files` describe.
    fn of(names: &[&str], files: &[FileDescriptorProto]) -> Self {
        let shapes = Shapes::of(files);
        let mut by_path = BTreeMap::new();
        for file in files {
            for service in &file.service {
                let name = full_name(file, service.name());
                if !names.contains(&name.as_str()) {
                    continue;
                }
                let open = OPEN.contains(&name.as_str());
                for method in &service.method {
                    let input = method.input_type();
                    // Always found: the files include all that they import.
                    let Some(shape) = shapes.find(input) else {
                        continue;
                    };
                    let path = format!("/{name}/{}", method.name());
                    let most = max_bytes(input);
                    by_path.insert(path, Method { open, shape, most });
                }
            }
        }
        Self(Arc::new(Table {
            by_path,
            shapes: Arc::new(shapes),
        }))
    }

    /// The RPC with this path, as in `/chat.v1.ChatService/GetChat`.
    pub(crate) fn get(&self, path: &str) -> Option<Method> {
        self.0.by_path.get(path).copied()
    }

    /// The full name of the RPC with this path, as in `chat.v1.ChatService/GetChat`.
    pub(crate) fn name(&self, path: &str) -> Option<&str> {
        let (known, _) = self.0.by_path.get_key_value(path)?;
        known.strip_prefix('/')
    }

    /// A scanner for the body of a call of `method`.
    pub(crate) fn scanner(&self, method: Method) -> Scanner {
        Scanner::new(Arc::clone(&self.0.shapes), method.shape, method.most)
    }
}

/// Bytes of a request at most, by its message's name as in `.chat.v1.GetChatRequest`.
fn max_bytes(request: &str) -> usize {
    let request = request.trim_start_matches('.');
    let named = MAX_REQUESTS.iter().find(|(name, _)| *name == request);
    named.map_or(MAX_REQUEST_BYTES, |(_, most)| *most)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn only_the_methods_of_the_services_named_are_known_and_only_health_is_open() {
        let names = ["chat.v1.SyncService", "grpc.health.v1.Health"];
        let methods = Methods::of(&names, &files_of(&names));
        let open = |path| methods.get(path).map(|method| method.open);
        assert_eq!(open("/chat.v1.SyncService/ReportOutcomes"), Some(false));
        assert_eq!(open("/grpc.health.v1.Health/Watch"), Some(true));
        for path in [
            "/chat.v1.SyncService/Anything",
            "/chat.v1.ChatService/GetChats",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "",
        ] {
            assert_eq!(open(path), None, "{path}");
            assert_eq!(methods.name(path), None, "{path}");
        }
        let path = "/chat.v1.SyncService/ReportOutcomes";
        assert_eq!(methods.name(path), path.strip_prefix('/'));
    }

    #[test]
    fn a_listener_describes_no_file_that_its_services_do_not_need() {
        let files = files_of(&["chat.v1.SyncService"]);
        let names: BTreeSet<&str> = files.iter().map(FileDescriptorProto::name).collect();
        assert!(names.contains("chat/v1/sync_service.proto"), "{names:?}");
        assert!(
            names.contains("google/protobuf/duration.proto"),
            "{names:?}"
        );
        assert!(!names.contains("chat/v1/chat_service.proto"), "{names:?}");
    }

    #[test]
    fn each_bound_of_a_request_is_of_one_that_there_is() {
        let files = files_of(&["chat.v1.SyncService"]);
        let shapes = Shapes::of(&files);
        for (request, _) in MAX_REQUESTS {
            assert!(shapes.find(&format!(".{request}")).is_some(), "{request}");
        }
        for (list, _) in proto::bounds::MAX_LISTS {
            let (message, field) = list.rsplit_once('.').unwrap();
            assert!(shapes.is_list(&format!(".{message}"), field), "{list}");
        }
    }
}
