"""What the schema of the document cannot say, told to schemathesis."""

import re

import schemathesis
from schemathesis import GenerationMode

TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T")
# The registry counts bytes: 255 of them are at least so many characters.
TEXT_CHARS_MAX = 63


def sayable(value):
    """The value nearest to a generated one that the registry takes."""
    if isinstance(value, float) and value.is_integer():
        # To JSON Schema 7.0 is a whole number.
        return int(value)
    if isinstance(value, str):
        if TIME.match(value) and not 1678 <= int(value[:4]) < 2261:
            return "2000" + value[4:]
        return value.replace("\0", "0")[:TEXT_CHARS_MAX]
    if isinstance(value, list):
        return [sayable(item) for item in value]
    if isinstance(value, dict):
        value = {sayable(key): sayable(item) for key, item in value.items()}
        if "protocol" in value:
            # A pattern cannot count to 255,
            value["address"] = "10.0.0.1:80"
        if "lease_ttl" in value:
            # nor to a day.
            value["lease_ttl"] = "90s"
    return value


def say(case):
    """Makes a case that is meant to be right one that is."""
    path = case.path_parameters or {}
    case.body = sayable(case.body)
    case.query = sayable(case.query or {})
    # An instance never has the name of its service.
    for named, key in [(path, "id"), (case.body, "instance_id")]:
        if isinstance(named, dict) and key in named and named[key] == path.get("name"):
            named[key] += "-1"
    if case.headers and "If-Match" in case.headers:
        # The generator does not close the quotes.
        case.headers["If-Match"] = '"%s"' % (case.headers["If-Match"].strip('"') or "0")
    # Only an answer has cursors, and only over a Unix socket can a process be bound to.
    case.query.pop("cursor", None)
    case.query.pop("bind", None)
    if case.operation.path == "/v1/watch":
        # A poll begins at a revision that there is.
        case.query.update(wait="0ms", after=0)
        case.headers.pop("Last-Event-ID", None)


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.path == "/v1/watch" and isinstance(case.query, dict):
        # Without it the answer is a stream without an end.
        case.query.setdefault("wait", "0ms")
    if case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE:
        say(case)
