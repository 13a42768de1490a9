//! Descriptors of the services that a listener may serve: ours, health and reflection.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// A service's name with its package.
pub(crate) fn full_name(file: &FileDescriptorProto, name: &str) -> String {
    format!("{}.{name}", file.package())
}

/// The files that define the services with these names, and all that these import.
pub(crate) fn files_of(names: &[&str]) -> Vec<FileDescriptorProto> {
    let mut files: BTreeMap<String, FileDescriptorProto> = [
        proto::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ]
    .into_iter()
    .filter_map(|bytes| FileDescriptorSet::decode(bytes).ok())
    .flat_map(|set| set.file)
    .map(|file| (file.name().to_owned(), file))
    .collect();
    let mut wanted: BTreeSet<String> = files
        .values()
        .filter(|file| {
            let mut services = file.service.iter();
            services.any(|service| names.contains(&full_name(file, service.name()).as_str()))
        })
        .map(|file| file.name().to_owned())
        .collect();
    let mut found = Vec::new();
    while let Some(name) = wanted.pop_first() {
        // Removed, so that a file that two others import is found once.
        if let Some(file) = files.remove(&name) {
            wanted.extend(file.dependency.iter().cloned());
            found.push(file);
        }
    }
    found
}
