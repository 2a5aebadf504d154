"""Writes clients/js/types.d.ts from src/service/web/openapi.json.

Usage: make_client_types.py [--check]
--check: exits 1 if the file is not what would be written.
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
DESCRIPTION = ROOT / "src" / "service" / "web" / "openapi.json"
TYPES = ROOT / "clients" / "js" / "types.d.ts"
# The old contract and pages are not what new clients are written for.
ROOTS = [
    "CropRequest",
    "DetectRequest",
    "JobRequest",
    "CropAnswer",
    "DetectAnswer",
    "Job",
    "JobAnswer",
    "Models",
]
ROOTS += ["Error"]
PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def comment(text, indent):
    return [f"{indent}/** {' '.join(text.split())} */"] if text else []


def name_of(reference):
    return reference.rsplit("/", 1)[1]


def members(schema, indent):
    lines = []
    required = schema.get("required", [])
    for name, member in schema.get("properties", {}).items():
        mark = "" if name in required else "?"
        lines += comment(member.get("description"), indent)
        lines.append(f"{indent}{name}{mark}: {type_of(member, indent)};")
    return lines


def type_of(schema, indent=""):
    """The TypeScript type of a schema; what only narrows values (ranges, patterns) has none."""
    if "$ref" in schema:
        return "ItemcropError" if name_of(schema["$ref"]) == "Error" else name_of(schema["$ref"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    kind = schema.get("type")
    if "oneOf" in schema and "properties" not in schema:
        return " | ".join(type_of(each, indent) for each in schema["oneOf"])
    if isinstance(kind, list):
        return " | ".join(PLAIN[each] for each in kind)
    if kind == "array":
        if "prefixItems" in schema:
            return "[" + ", ".join(type_of(each, indent) for each in schema["prefixItems"]) + "]"
        inner = type_of(schema.get("items", {}), indent)
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if kind == "object":
        if "properties" in schema:
            return "\n".join(["{", *members(schema, indent + "  "), indent + "}"])
        values = schema.get("additionalProperties")
        return f"Record<string, {type_of(values, indent) if isinstance(values, dict) else 'unknown'}>"
    return PLAIN.get(kind, "unknown")


def used_by(name, schemas, seen):
    """The schema and those that it refers to, in the order of their first use."""
    if name in seen:
        return
    seen.append(name)

    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                used_by(name_of(node["$ref"]), schemas, seen)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(schemas[name])


def text():
    schemas = json.loads(DESCRIPTION.read_text())["components"]["schemas"]
    names = []
    for root in ROOTS:
        used_by(root, schemas, names)
    lines = ["// Written by scripts/make_client_types.py from openapi.json; do not edit."]
    for name in names:
        schema = schemas[name]
        shown = "ItemcropError" if name == "Error" else name
        lines += ["", *comment(schema.get("description"), "")]
        if schema.get("type") == "object" and "properties" in schema:
            lines += [f"export interface {shown} {{", *members(schema, "  "), "}"]
        else:
            lines.append(f"export type {shown} = {type_of(schema)};")
    return "\n".join(lines) + "\n"


def main():
    if "--check" in sys.argv[1:]:
        if TYPES.exists() and TYPES.read_text() == text():
            return 0
        print(f"{TYPES.relative_to(ROOT)} is not what openapi.json says; run scripts/make_client_types.py")
        return 1
    TYPES.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
