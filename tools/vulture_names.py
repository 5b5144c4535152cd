"""Names that something outside the code uses: wire fields, what frameworks call, the public face."""

from typing import Any

_: Any = None

# Fields of messages and of dev.json: read by clients, not by this code.
_.tool_type, _.refs, _.height, _.duration_ms, _.alt_text, _.bbox, _.sample_rate, _.channels, _.thumbnail
_.cache_creation_input_tokens, _.cache_read_input_tokens, _.parsed_content, _.operator_token, _.held_for_s

# Public faces that no test needs.
_.set_finish_point, _.superuser_url, _.socket_dir, _.is_stopped_requested

# Called or read by alembic, Python, pydantic, uvicorn and http.server.
_.upgrade, _.downgrade, _.__getattr__, _.ignored_warning_kinds, _.field_title_should_be_set, _.create_app
_.daemon_threads, _.handle_error, _.protocol_version, _.disable_nagle_algorithm, _.do_POST, _.do_GET
(
    _.SocketProtocol,
    _.disconnected,
    _.message_event,
    _.redirect_request,
    _.close_connection,
    _.log_message,
    _.atexit,
)

# Grafana reads it.
_.id_val

# PgQueuer reads it.
_.min_dequeue_poll_interval

# A column that the database alone compares, and what pydantic calls.
_.held_until, _._one_source

# Limits, read by their names.
_.requests_per_minute, _.burst, _.stored_bytes, _.checkpoints_per_day
_.message_bytes, _.state_bytes, _.thread_messages

# Schemathesis calls it.
_.one_line, _.as_it_is

# LangGraph calls it.
_.get_tuple

# urllib and socketserver call them.
_.redirect_request, _.handle

# Answers of the service, read by the client's users.
(
    _.stopped_at,
    _.removed_count,
    _.node_count,
    _.edge_count,
    _.state_fields,
    _.node_name,
    _.tool_count,
    _.updated_before,
    _.updated_after,
    _.created_before,
    _.created_after,
)

# In tests: agents found by their path, and parameters that only a signature needs.
_.route_tools, _.is_error, _.a, _.b
_.notes, _.usage_metadata, _.topics, _.approved
(
    _.waits,
    _.breaks,
    _.quotes,
    _.quits,
    _.scribbles,
    _.wonders,
    _.complains,
    _.twice,
    _.infinite,
    _.loops,
    _._opened_here,
    _.c,
    _.x,
    _.zone,
    _.score,
)

# The peers' harness reads and calls them.
_.not_measured, _.has_warm, _.pg_tables, _.read_cold, _.read_warm, _.turn

# OpenTelemetry calls them.
_.on_start, _.get_description, _._context, _._links, _._start_time, _.escaped, _.exc_tb

# The parser of HTML calls them.
_.handle_starttag, _.handle_data, _.handle_endtag

# The event loop calls them.
_.connection_made, _.data_received, _.connection_lost

# The client of HTTP connects by it.
_.sock
