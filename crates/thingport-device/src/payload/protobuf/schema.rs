//! Schemas of a profile: compiled from what people wrote, or explained (PB-001 to PB-007).
//!
//! Wider than the original: proto2 beside proto3, options, reserved names, maps, imports of
//! `google.protobuf`, and another root than the last message. Text, fields and nesting are bounded, so
//! that compiling takes some milliseconds at most; it happens when a profile is saved or first used,
//! never for a message.

mod diagnostic;
mod rules;

pub use diagnostic::Diagnostic;

use prost_reflect::MessageDescriptor;
use protox::Compiler;
use protox::file::{File, FileResolver, GoogleFileResolver};

use super::table::{ROOT, Table};

/// What a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaKind {
    /// Telemetry.
    Telemetry,
    /// Client attributes.
    Attributes,
    /// Calls to the device.
    RpcRequest,
    /// What the device answers to calls.
    RpcResponse,
}

/// A compiled schema. Made once per profile, shared by all its devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    table: Table,
    root: MessageDescriptor,
    timestamped: Option<(usize, usize)>,
}

impl SchemaKind {
    /// Every kind.
    pub const ALL: [Self; 4] =
        [Self::Telemetry, Self::Attributes, Self::RpcRequest, Self::RpcResponse];

    /// The word for it in messages to people (REST API 7.3).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Attributes => "attributes",
            Self::RpcRequest => "rpc request",
            Self::RpcResponse => "rpc response",
        }
    }
}

impl Schema {
    /// Compiles a schema. `root` names a message; without one it is the last at top level (PB-004).
    ///
    /// # Errors
    /// Everything that was found to be wrong, in order of place; at least one, at most
    /// [`DIAGNOSTICS_MAX`].
    pub fn compile(
        kind: SchemaKind,
        text: &str,
        root: Option<&str>,
    ) -> Result<Self, Vec<Diagnostic>> {
        rules::check_text(text)?;
        let parsed = File::from_source(FILE, text);
        let file = parsed.map_err(|error| match rules::check_syntax(text) {
            Ok(()) => Diagnostic::of(&error, text),
            // All that follows from it would only be confusing.
            Err(found) => found,
        })?;
        rules::check_file(&file, text)?;
        let mut compiler = Compiler::with_file_resolver(Resolver { file: file.clone() });
        let opened = compiler.open_file(FILE);
        opened.map_err(|error| Diagnostic::of(&error, text))?;
        let pool = compiler.descriptor_pool();
        let root = rules::root(&pool, FILE, root, text)?;
        rules::check_root(kind, &root, &file, text)?;
        let table = Table::of(&root);
        let message = table.message(ROOT);
        let timestamped = message.named("ts").zip(message.named("values"));
        Ok(Self { table, root, timestamped })
    }

    /// Full name of the root message.
    #[must_use]
    pub fn root_name(&self) -> &str {
        self.root.full_name()
    }

    pub(crate) const fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) const fn root(&self) -> &MessageDescriptor {
        &self.root
    }

    /// Where the members `ts` and `values` of the root are, if it has both.
    pub(crate) const fn timestamped(&self) -> Option<(usize, usize)> {
        self.timestamped
    }
}

/// Knows the schema itself and the files of `google.protobuf`.
struct Resolver {
    file: File,
}

impl FileResolver for Resolver {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == FILE {
            return Ok(self.file.clone());
        }
        GoogleFileResolver::new().open_file(name)
    }
}

/// What the text of a schema is called among its imports.
const FILE: &str = "schema.proto";
/// Longest text of a schema in bytes.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Most fields of one schema, in all its messages together.
pub const FIELDS_MAX: usize = 1_000;
/// Most findings that are told of one schema.
pub const DIAGNOSTICS_MAX: usize = 20;
