//! The JSON Schema of a line, from the catalogue.

use catalogue::{EVENTS, Event, Field, Layout, Member, MemberType, Quality, Type};
use serde_json::{Map, Value, json};

use super::data::RETURN_VALUE;
use super::who::UNRESOLVED;
use crate::STACK_FRAMES;

/// The schema (draft 2020-12) of what [`write_event`](super::write_event) writes.
///
/// It allows nothing else: `data` of an event has exactly the event's fields, in the catalogue's order, with or without those on request, each with the key
/// of its type.
pub fn schema() -> Value {
    let names: Vec<&str> = EVENTS.iter().map(|e| e.name).collect();
    // What a detector has found is called as the detector says, and has its fields.
    let mut rules = vec![json!({
        "if": { "required": ["detector"] },
        "then": {
            "required": ["detected_from"],
            "properties": {
                "name": { "not": { "enum": names } },
                "data": { "items": { "$ref": "#/$defs/output" } },
            },
        },
        "else": {
            "properties": {
                "id": { "enum": names }, "name": { "enum": names },
                "threat": false, "detected_from": false, "correlated": false, "confidence": false,
            },
        },
    })];
    rules.extend(EVENTS.iter().map(of_event));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tarsius event",
        "description": "One line of Tarsius' JSON output.",
        "type": "object",
        "properties": {
            "timestamp": { "$ref": "#/$defs/time" },
            "id": string(),
            "name": string(),
            "policies": object(json!({ "matched": {
                "type": "array", "items": { "type": "string" }, "minItems": 1,
            } }), &["matched"]),
            "enforcement": object(json!({
                "alert": { "const": "user_space" },
                "kill": { "enum": ["kernel", "user_space", "monitor", "failed"] },
                "deny": { "enum": ["kernel", "monitor", "failed"] },
            }), &[]),
            "workload": { "$ref": "#/$defs/workload" },
            "data": { "type": "array" },
            "threat": object(json!({
                "name": string(), "description": string(),
                "mitre": object(json!({
                    "tactic": record(json!({ "name": string() })),
                    "technique": object(json!({ "id": string(), "name": string() }), &["id"]),
                    "other_techniques": { "type": "array", "items": string() },
                }), &[]),
                "severity": { "enum": crate::Severity::ALL.map(crate::Severity::name) },
            }), &["description", "severity"]),
            "detector": string(),
            "detected_from": { "$ref": "#/$defs/detected_from" },
            "correlated": object(json!({
                "count": unsigned(u64::MAX),
                "before": { "type": "array", "items": object(json!({
                    "timestamp": { "$ref": "#/$defs/time" },
                    "name": { "enum": names },
                    "workload": { "$ref": "#/$defs/workload" },
                    "data": { "type": "array" },
                }), &["timestamp", "name", "workload", "data"]) },
            }), &["count", "before"]),
            "confidence": { "const": "degraded" },
            "seq": { "$ref": "#/$defs/u64" },
            "lane": { "enum": catalogue::Lane::ALL.map(catalogue::Lane::name) },
            "cpu": { "$ref": "#/$defs/u32" },
            "slot": unsigned(u8::MAX.into()),
            "host": string(),
            "boot_id": string(),
            "origin": { "enum": ["current", "owner", "listener", "unknown"] },
            "via": { "const": "io_uring" },
        },
        "required": [
            "timestamp", "id", "name", "workload", "data", "seq", "lane", "cpu", "slot", "host", "boot_id", "origin",
        ],
        "additionalProperties": false,
        "allOf": rules,
        "if": { "properties": { "origin": { "const": "unknown" } } },
        "then": { "properties": { "workload": { "properties": { "process": false } } } },
        "else": { "properties": { "workload": { "required": ["process"] } } },
        "$defs": definitions(),
    })
}

/// What holds if a line's name is this event's.
fn of_event(event: &Event) -> Value {
    let of_fields = |fields: Vec<Value>| {
        let (least, most) = (fields.len(), fields.len() + 1);
        let mut data = json!({
            "items": { "$ref": "#/$defs/return_value" },
            "minItems": least,
            "maxItems": most,
        });
        // The keyword may not be an empty array.
        if !fields.is_empty() {
            data["prefixItems"] = fields.into();
        }
        data
    };
    let always = event.fields.iter().filter(|f| f.on_request.is_none());
    let mut data = of_fields(always.map(of_field).collect());
    if event.fields.iter().any(|f| f.on_request.is_some()) {
        data = json!({ "anyOf": [data, of_fields(event.fields.iter().map(of_field).collect())] });
    }
    json!({
        "if": { "properties": { "name": { "const": event.name } } },
        "then": {
            "description": event.doc,
            "properties": {
                "id": { "const": event.name },
                "lane": { "const": event.lane.name() },
                "data": data,
            },
        },
    })
}

fn of_field(field: &Field) -> Value {
    let mut properties = Map::new();
    properties.insert("name".into(), json!({ "const": field.name }));
    let (key, value) = match (field.layout, field.layouts) {
        (Some(layout), _) => of_layout(field, layout),
        (None, None) => of_type(field.ty),
        (None, Some(choice)) => {
            // Of none that is known, there are only bytes.
            let (bytes, value) = of_type(field.ty);
            properties.insert(bytes.into(), value);
            let of: Vec<Value> = choice.of.iter().map(|(_, layout)| of_layout(field, layout).1).collect();
            ("struct", json!({ "anyOf": of }))
        }
    };
    properties.insert(key.into(), value);
    let has_value = match field.layouts {
        None => json!({ "required": [key] }),
        Some(_) => json!({ "oneOf": [{ "required": [key] }, { "required": ["bytes"] }] }),
    };
    properties.insert("quality".into(), json!({ "$ref": "#/$defs/quality" }));
    let mut with_value = has_value.clone();
    if field.format.is_some() && field.layout.is_none() {
        properties.insert("parsed".into(), json!({ "type": "string", "minLength": 1 }));
        with_value["required"] = json!([key, "parsed"]);
    }
    if field.formats.is_some() {
        properties.insert("parsed".into(), json!({ "type": "string", "minLength": 1 }));
    }
    if matches!(field.ty, Type::Str | Type::Path | Type::StrArray) {
        properties.insert("encoding".into(), json!({ "const": "escaped" }));
    }
    // Without a value there is a quality that says why, and nothing that only a value has.
    json!({
        "description": field.doc,
        "type": "object",
        "properties": properties,
        "required": ["name"],
        "additionalProperties": false,
        "if": has_value,
        "then": with_value,
        "else": {
            "properties": {
                "quality": { "enum": ["faulted", "unavailable"] },
                "parsed": false,
                "encoding": false,
            },
            "required": ["quality"],
        },
    })
}

/// The key of a type's values, and their schema.
fn of_type(ty: Type) -> (&'static str, Value) {
    let def = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    match ty {
        Type::I32 => ("int32", def("i32")),
        Type::U32 => ("u_int32", def("u32")),
        Type::I64 => ("int64", def("i64")),
        Type::U64 | Type::Pointer => ("u_int64", def("u64")),
        Type::Bool => ("bool", json!({ "type": "boolean" })),
        Type::Time => ("timespec", def("time")),
        Type::Str | Type::Path | Type::Ip => ("str", string()),
        Type::StrArray => {
            ("str_array", object(json!({ "value": { "type": "array", "items": string() } }), &["value"]))
        }
        Type::Sockaddr => ("sockaddr", def("sockaddr")),
        Type::Cred => ("credentials", def("credentials")),
        Type::Packet => ("packet_metadata", def("packet_metadata")),
        Type::Ipv4 => ("ipv4", def("ipv4")),
        Type::Ipv6 => ("ipv6", def("ipv6")),
        Type::Tcp => ("tcp", def("tcp")),
        Type::Udp => ("udp", def("udp")),
        Type::Icmp => ("icmp", def("icmp")),
        Type::Icmpv6 => ("icmpv6", def("icmpv6")),
        Type::Dns => ("dns", def("dns")),
        Type::Http => ("http", def("http")),
        Type::HttpRequest => ("http_request", def("http_request")),
        Type::HttpResponse => ("http_response", def("http_response")),
        Type::DnsQuestions => ("dns_questions", def("dns_questions")),
        Type::DnsAnswers => ("dns_responses", def("dns_responses")),
        Type::Bytes | Type::Struct | Type::Structs => ("bytes", def("base64")),
    }
}

/// The same of structures. Members may be missing: in a 32-bit program's, and where the caller knows less.
fn of_layout(field: &Field, layout: &Layout) -> (&'static str, Value) {
    let of_member = |member: &Member| match member.ty {
        _ if member.format.is_some() => string(),
        MemberType::Str => string(),
        MemberType::Bytes => json!({ "$ref": "#/$defs/base64" }),
        _ => json!({ "type": "integer" }),
    };
    let one = match layout.members {
        [member] if member.name.is_empty() => field.format.map_or_else(|| of_member(member), |_| string()),
        members => {
            let properties: Map<String, Value> =
                members.iter().map(|m| (m.name.to_string(), of_member(m))).collect();
            object(properties.into(), &[])
        }
    };
    if field.ty == Type::Struct {
        ("struct", one)
    } else {
        ("structs", json!({ "type": "array", "items": one }))
    }
}

/// An object with these properties and no other.
fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// An object with these properties, all of them, and no other.
fn record(properties: Value) -> Value {
    let required: Vec<String> =
        properties.as_object().map(|p| p.keys().cloned().collect()).unwrap_or_default();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn unsigned(maximum: u64) -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": maximum })
}

fn definitions() -> Value {
    let u16 = unsigned(u16::MAX.into());
    let u32 = json!({ "$ref": "#/$defs/u32" });
    let u64 = json!({ "$ref": "#/$defs/u64" });
    let id = object(json!({ "id": u32 }), &["id"]);
    let user = object(json!({ "id": u32, "name": string() }), &["id"]);
    let escaped = json!({ "const": "escaped" });
    let sha256 = json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    // Null: of none.
    let package = json!({ "name": string(), "version": string(), "modified": { "type": "boolean" } });
    let package = object(package, &["name", "version"]);
    let package = json!({ "anyOf": [package, { "type": "null" }] });
    let executable = object(
        json!({ "path": string(), "encoding": escaped, "sha256": sha256, "package": package }),
        &["path"],
    );
    let time = json!({ "$ref": "#/$defs/time" });
    let capabilities = json!({
        "type": "array", "uniqueItems": true, "items": { "type": "string", "pattern": "^CAP_[A-Z0-9_]+$" },
    });
    let question = record(json!({ "query": string(), "query_type": string(), "query_class": string() }));
    let bit = unsigned(1);
    let headers = json!({
        "type": "object",
        "additionalProperties": record(json!({ "header": { "type": "array", "items": string() } })),
    });
    let records = json!({ "type": "array", "items": object(json!({
        "name": string(), "type": string(), "class": string(), "ttl": u32, "ip": string(), "ns": string(),
        "cname": string(), "ptr": string(), "txts": { "type": "array", "items": string() },
        "mx": record(json!({ "preference": u16, "name": string() })),
        "soa": record(json!({
            "mname": string(), "rname": string(), "serial": u32, "refresh": u32, "retry": u32, "expire": u32,
            "minimum": u32,
        })),
        "srv": record(json!({ "priority": u16, "weight": u16, "port": u16, "name": string() })),
        "data": { "$ref": "#/$defs/base64" },
    }), &["name", "type", "class", "ttl"]) });
    let answer = record(json!({ "type": string(), "ttl": u32, "answer": string() }));
    let family = |name: &str, properties: Value, required: &[&str]| {
        let mut all = object(properties, required);
        all["properties"]["sa_family"] = json!({ "const": name });
        if let Some(required) = all["required"].as_array_mut() {
            required.push("sa_family".into());
        }
        all
    };
    let qualities: Vec<&str> = (1..).map_while(Quality::from_number).map(Quality::name).collect();
    let mut all = json!({
        "i32": { "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX },
        "i64": { "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX },
        "u32": unsigned(u32::MAX.into()),
        "u64": unsigned(u64::MAX),
        "base64": { "type": "string", "pattern": "^[A-Za-z0-9+/]*={0,2}$" },
        "quality": { "enum": qualities },
        "time": record(json!({ "seconds": u64, "nanos": unsigned(999_999_999) })),
        "return_value": object(json!({
            "name": { "const": RETURN_VALUE },
            "int64": { "$ref": "#/$defs/i64" },
            "parsed": { "type": "string", "pattern": "^E[A-Z0-9_]+$" },
        }), &["name", "int64"]),
        "process": object(json!({
            "executable": executable,
            "unique_id": u64, "host_pid": u32, "pid": u32,
            "real_user": user, "effective_user": user, "real_group": id, "effective_group": id,
            "thread": object(json!({
                "start_time": time, "name": string(), "encoding": escaped, "unique_id": u64, "host_tid": u32,
                "tid": u32, "syscall": { "type": "string", "minLength": 1 }, "compat": { "type": "boolean" },
                "kernel_thread": { "const": true }, "user_stack_trace": { "$ref": "#/$defs/user_stack_trace" },
            }), &["start_time", "name", "unique_id", "host_tid", "tid", "compat"]),
            "host_ppid": u32, "ppid": u32,
            "namespaces": record(json!({
                "mnt": u32, "pid": u32, "net": u32, "uts": u32, "ipc": u32, "user": u32, "cgroup": u32,
            })),
            "cgroup_id": u64,
            "ancestors": { "type": "array", "items": object(json!({
                "unique_id": u64, "host_pid": u32, "pid": u32, "executable": executable,
                "command_line": object(json!({ "value": string(), "encoding": escaped }), &["value"]),
                "thread": object(json!({
                    "start_time": time, "name": string(), "encoding": escaped,
                }), &["start_time", "name"]),
            }), &["unique_id", "host_pid", "pid", "thread"]) },
        }), &[
            "unique_id", "host_pid", "pid", "real_user", "effective_user", "real_group", "effective_group", "thread",
            "host_ppid", "ppid", "namespaces", "cgroup_id", "ancestors",
        ]),
        "user_stack_trace": object(json!({
            "addresses": { "type": "array", "maxItems": STACK_FRAMES, "items": {
                "description": "The innermost function first. `symbol` or, why there is none, `unresolved`.",
                "type": "object",
                "properties": {
                    "address": u64, "file": string(), "encoding": escaped, "dev": u32, "inode": u64, "offset": u64,
                    "symbol": { "type": "string", "pattern": "[+]0x[0-9a-f]+$" },
                    "source": string(), "inlined": { "type": "array", "items": string(), "minItems": 1 },
                    "unresolved": { "enum": UNRESOLVED },
                },
                "required": ["address"],
                "oneOf": [{ "required": ["symbol"] }, { "required": ["unresolved"] }],
                "additionalProperties": false,
            } },
            "quality": { "enum": ["truncated", "unavailable"] },
        }), &["addresses"]),
        "sockaddr": { "anyOf": [
            family("AF_INET", json!({ "sin_addr": { "type": "string", "format": "ipv4" }, "sin_port": u16 }),
                &["sin_addr", "sin_port"]),
            family("AF_INET6", json!({
                "sin6_addr": { "type": "string", "format": "ipv6" }, "sin6_port": u16, "sin6_flowinfo": u32,
                "sin6_scopeid": u32,
            }), &["sin6_addr", "sin6_port", "sin6_flowinfo", "sin6_scopeid"]),
            family("AF_UNIX", json!({
                "sun_path": string(), "encoding": escaped, "abstract": { "const": true },
            }), &["sun_path"]),
            family("AF_VSOCK", json!({ "svm_cid": u32, "svm_port": u32 }), &["svm_cid", "svm_port"]),
            object(json!({
                "sa_family": { "type": "string", "not": { "const": "AF_UNIX" } },
                "sa_data": { "$ref": "#/$defs/base64" },
            }), &["sa_family", "sa_data"]),
        ] },
        "credentials": record(json!({
            "uid": u32, "gid": u32, "suid": u32, "sgid": u32, "euid": u32, "egid": u32, "fsuid": u32, "fsgid": u32,
            "user_namespace": u32, "secure_bits": u32,
            "cap_inheritable": capabilities, "cap_permitted": capabilities, "cap_effective": capabilities,
            "cap_bounding": capabilities, "cap_ambient": capabilities,
        })),
        "packet_metadata": object(json!({
            "src_ip": string(), "dst_ip": string(), "src_port": u16, "dst_port": u16,
            "protocol": unsigned(u8::MAX.into()), "packet_len": u32, "ifindex": u32,
            "direction": { "enum": ["INGRESS", "EGRESS"] },
            "encapsulation": { "enum": crate::Encapsulation::ALL.map(crate::Encapsulation::name) },
        }), &["src_ip", "dst_ip", "src_port", "dst_port", "protocol", "packet_len", "direction"]),
        "ipv4": record(json!({
            "version": u32, "ihl": u32, "tos": u32, "length": u32, "id": u32, "flags": u32, "frag_offset": u32,
            "ttl": u32, "protocol": string(), "checksum": u32, "src_ip": string(), "dst_ip": string(),
        })),
        "ipv6": record(json!({
            "version": u32, "traffic_class": u32, "flow_label": u32, "length": u32, "next_header": string(),
            "hop_limit": u32, "src_ip": string(), "dst_ip": string(),
        })),
        "tcp": record(json!({
            "src_port": u16, "dst_port": u16, "seq": u32, "ack": u32, "data_offset": u32,
            "fin_flag": bit, "syn_flag": bit, "rst_flag": bit, "psh_flag": bit, "ack_flag": bit, "urg_flag": bit,
            "ece_flag": bit, "cwr_flag": bit, "ns_flag": bit, "window": u32, "checksum": u32, "urgent": u32,
        })),
        "udp": record(json!({ "src_port": u16, "dst_port": u16, "length": u32, "checksum": u32 })),
        "icmp": record(json!({ "type_code": string(), "checksum": u32, "id": u32, "seq": u32 })),
        "icmpv6": record(json!({ "type_code": string(), "checksum": u32 })),
        "dns": record(json!({
            "id": u32, "qr": bit, "op_code": string(), "aa": bit, "tc": bit, "rd": bit, "ra": bit, "z": u32,
            "response_code": string(), "qd_count": u32, "an_count": u32, "ns_count": u32, "ar_count": u32,
            "questions": { "type": "array", "items": record(json!({
                "name": string(), "type": string(), "class": string(),
            })) },
            "answers": records, "authorities": records, "additionals": records,
        })),
        "http": object(json!({
            "direction": { "enum": ["request", "response"] }, "method": string(), "protocol": string(),
            "host": string(), "uri_path": string(), "status": string(), "status_code": u32,
            "headers": headers, "content_length": { "type": "integer" },
        }), &["direction", "protocol", "headers", "content_length"]),
        "http_request": record(json!({
            "method": string(), "protocol": string(), "host": string(), "uri_path": string(),
            "headers": headers, "content_length": { "type": "integer" },
        })),
        "http_response": record(json!({
            "status": string(), "status_code": u32, "protocol": string(),
            "headers": headers, "content_length": { "type": "integer" },
        })),
        "dns_questions": record(json!({ "questions": { "type": "array", "items": question } })),
        "dns_responses": record(json!({ "responses": { "type": "array", "items": object(json!({
            "dns_query_data": question,
            "dns_answer": { "type": "array", "items": answer },
        }), &["dns_answer"]) } })),
    });
    let labels = json!({ "type": "object", "additionalProperties": string(), "minProperties": 1 });
    let left_out = json!({ "type": "integer", "minimum": 1 });
    all["workload"] = object(
        json!({
            "process": { "$ref": "#/$defs/process" },
            "container": object(json!({
                "id": string(), "runtime": string(), "name": string(),
                "image": object(json!({
                    "name": string(), "repo_digests": { "type": "array", "items": string(), "minItems": 1 },
                }), &["name"]),
                "labels": labels, "labels_left_out": left_out,
            }), &["id"]),
            "k8s": object(json!({
                "pod": object(json!({
                    "name": string(), "uid": string(), "sandbox": { "type": "boolean" },
                    "labels": labels, "labels_left_out": left_out,
                }), &["name", "sandbox"]),
                "namespace": object(json!({ "name": string() }), &["name"]),
            }), &["pod"]),
        }),
        &[],
    );
    all["detected_from"] = object(
        json!({ "name": string(), "data": { "type": "array" }, "parent": { "$ref": "#/$defs/detected_from" } }),
        &["name"],
    );
    all["output"] = object(
        json!({
            "name": string(), "str": string(), "encoding": escaped, "int64": { "$ref": "#/$defs/i64" }, "u_int64": u64,
            "bool": { "type": "boolean" }, "double": { "type": "number" },
            "str_array": record(json!({ "value": { "type": "array", "items": string() } })),
            "quality": { "$ref": "#/$defs/quality" },
        }),
        &["name"],
    );
    all
}
