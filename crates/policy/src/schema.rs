//! What an editor must know of policy files: a JSON Schema.

use serde_json::{Value, json};

/// The JSON Schema of policy files, of both dialects.
pub fn schema() -> Value {
    let names: Vec<&str> = catalogue::EVENTS.iter().map(|e| e.name).collect();
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "array", "items": text });
    let actions =
        json!({ "type": "array", "items": { "enum": ["log", "print", "alert", "capture", "kill", "deny"] } });
    let rule = json!({
        "type": "object",
        "required": ["event"],
        "additionalProperties": false,
        "properties": {
            "event": {
                "description": "An event's name, a name with wildcards, tag=TAG; with - before it, not those",
                "anyOf": [{ "enum": names }, { "type": "string" }],
            },
            "filters": { "description": "Each must hold: data.FIELD=VALUE, uid>=1000, comm!=bash ...", "type": "array", "items": text },
            "condition": { "description": "Must hold: an expression in the syntax of CEL", "type": "string" },
            "exceptions": { "description": "None may hold: expressions", "type": "array", "items": text },
            "actions": actions,
            "rateLimit": { "description": "At most so many", "type": "string", "pattern": "^[0-9]+ */ *[smhd]$" },
            "dedupe": {
                "description": "Of events that are alike, only the first in a time",
                "type": "object",
                "required": ["by", "window"],
                "additionalProperties": false,
                "properties": { "by": texts, "window": { "type": "string", "pattern": "^[0-9.]+ *[smhd]$" } },
            },
        },
    });
    let rules = json!({ "type": "array", "minItems": 1, "items": rule });
    let scope = json!({
        "description": "Of whom: global, or conditions which must all hold: uid=, pid=, comm=, executable=, container, tree=, follow ...",
        "type": "array",
        "items": text,
    });
    let mode = json!({
        "description": "Whether kill and deny are done, or only told",
        "enum": ["monitor", "enforce"],
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A policy of Tarsius, in Tracee's form",
        "oneOf": [
            {
                "type": "object",
                "required": ["apiVersion", "kind", "metadata", "spec"],
                "additionalProperties": false,
                "properties": {
                    "apiVersion": { "enum": ["tracee.aquasec.com/v1beta1", "tarsius/v1"] },
                    "kind": { "const": "Policy" },
                    "metadata": {
                        "type": "object",
                        "required": ["name"],
                        "additionalProperties": false,
                        "properties": {
                            "name": text,
                            "namespace": text,
                            "labels": { "type": "object", "additionalProperties": text },
                            "annotations": { "type": "object", "additionalProperties": text },
                        },
                    },
                    "spec": {
                        "type": "object",
                        "required": ["rules"],
                        "additionalProperties": false,
                        "properties": { "scope": scope, "defaultActions": actions, "rules": rules, "mode": mode },
                    },
                },
            },
            {
                "type": "object",
                "required": ["type", "name", "rules"],
                "additionalProperties": false,
                "properties": {
                    "type": { "const": "policy" },
                    "name": text,
                    "description": text,
                    "version": text,
                    "scope": scope,
                    "defaultActions": actions,
                    "rules": rules,
                    "mode": mode,
                },
            },
        ],
    })
}
