"""Runs moto's EventBridge and SQS on one port, mended where threads or AWS' own ways matter.

Usage: python moto_server.py PORT

moto changes a queue's list of messages without a lock, so that under load a message can be lost or
handed to two receivers at once. It looks at a waiting receiver once a second, and hands messages to
receivers that have hung up. Its work for each event grows with all rules and all messages that
there are. AWS does none of this. What a rule lets through, what is visible when, and what a receipt
is good for is decided by moto.
"""

import json
import select
import socket
import sys
import time
from copy import deepcopy
from datetime import datetime, timezone

import flask
from moto.core.utils import unix_time
from moto.events.models import UNDEFINED, EventPattern, EventsBackend
from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.sqs import sqs_backends
from moto.sqs.models import Message, Queue, SQSBackend
from werkzeug.serving import make_server

LOOK_SECONDS = 0.1  # between two looks at a queue that somebody waits for, and nothing happens to

# --- SQS ---

delete_message = Queue.delete_message
change_visibility = SQSBackend.change_message_visibility


def locked_delete(queue, receipt_handle):
    with queue._messages_lock:
        return delete_message(queue, receipt_handle)


def locked_change(backend, queue_name, receipt_handle, visibility_timeout):
    lock = backend.get_queue(queue_name)._messages_lock
    with lock:
        change_visibility(backend, queue_name, receipt_handle, visibility_timeout)
        lock.notify_all()


def send_message(
    backend, queue_name, message_body, message_attributes=None, delay_seconds=None, **_others
):
    queue = backend.get_queue(queue_name)
    if len(message_body) > queue.maximum_message_size:
        backend._validate_message(queue, message_body, int(delay_seconds or 0))
    message = Message(str(mock_random.uuid4()), message_body, None)
    message.message_attributes = message_attributes or {}
    message.mark_sent(delay_seconds=int(delay_seconds or queue.delay_seconds))
    queue.add_message(message)
    return message


def take(queue, count, visibility_timeout):
    taken = []
    for message in queue._messages:
        if len(taken) == count:
            break
        if message.visible and not message.delayed:
            message.mark_received(visibility_timeout=visibility_timeout)
            taken.append(deepcopy(message))
    return taken


def has_hung_up():
    connection = flask.request.environ.get("werkzeug.socket")
    if connection is None:
        return False
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


def receive_message(
    backend, queue_name, count, wait_seconds_timeout, visibility_timeout, _attribute_names=None
):
    end = time.monotonic() + wait_seconds_timeout
    while True:
        queue = backend.get_queue(queue_name)
        if has_hung_up():
            return []
        with queue._messages_lock:
            taken = take(queue, count, visibility_timeout)
            if taken or time.monotonic() >= end:
                return taken
            queue._messages_lock.wait(LOOK_SECONDS)


Queue.delete_message = locked_delete
SQSBackend.change_message_visibility = locked_change
SQSBackend.send_message = send_message
SQSBackend.receive_message = receive_message

# --- EventBridge ---

put_events_of_moto = EventsBackend.put_events
matches_of_moto = EventPattern.matches_event
SIMPLE = {"source", "detail-type"}  # names of what decides for all events of one source and type
changes = [0]  # of all rules
routes = {}


def matches_event(pattern, event):
    conditions = pattern.get_pattern()
    if all(isinstance(condition, list) for condition in conditions.values()):
        return all(
            pattern._does_item_match_filters(event.get(name, UNDEFINED), condition)
            for name, condition in conditions.items()
        )
    return matches_of_moto(pattern, event)


def counted(method):
    def run(*args, **kwargs):
        try:
            return method(*args, **kwargs)
        finally:
            changes[0] += 1

    return run


def rules_for(backend, bus_name, message):
    key = (backend.account_id, backend.region_name, bus_name)
    key += (message["source"], message["detail-type"])
    known = routes.get(key)
    if known is None or known[0] != changes[0]:
        change = changes[0]
        rules = list(backend.describe_event_bus(bus_name).rules.values())
        # Those of which moto has said that they fit, and those that look into each event.
        fitting = [
            rule
            for rule in rules
            if not rule.event_pattern.get_pattern().keys() <= SIMPLE
            or rule.event_pattern.matches_event(message)
        ]
        known = routes[key] = (change, fitting)
    return [
        rule
        for rule in known[1]
        if rule.state == "ENABLED"
        and (
            rule.event_pattern.get_pattern().keys() <= SIMPLE
            or rule.event_pattern.matches_event(message)
        )
    ]


def put_events(backend, events):
    if len(events) > 10:
        return put_events_of_moto(backend, events)  # which says what is wrong
    return [entry for event in events for entry in put_event(backend, event)]


def put_event(backend, event):
    try:
        detail = json.loads(event.get("Detail") or "")
    except ValueError:
        return put_events_of_moto(backend, [event])
    if not event.get("Source") or not event.get("DetailType"):
        return put_events_of_moto(backend, [event])
    name = backend._normalize_event_bus_arn(event.get("EventBusName"))
    event_id = str(mock_random.uuid4())
    at = datetime.fromtimestamp(float(event.get("Time", unix_time())), timezone.utc)
    message = {
        "version": "0",
        "id": event_id,
        "detail-type": event["DetailType"],
        "source": event["Source"],
        "account": backend.account_id,
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": backend.region_name,
        "resources": event.get("Resources", []),
        "detail": detail,
    }
    body = None
    queues = sqs_backends[backend.account_id][backend.region_name]
    for rule in rules_for(backend, name, message):
        body = body or json.dumps(message)
        for target in list(rule.targets):
            queue_name = target["Arn"].split(":")[-1]
            if queue_name in queues.queues:
                queues.send_message(queue_name, body)
    return [{"EventId": event_id}]


EventPattern.matches_event = matches_event
EventsBackend.put_events = put_events
EventsBackend.put_rule = counted(EventsBackend.put_rule)
EventsBackend.delete_rule = counted(EventsBackend.delete_rule)


class KeepAlive(MotoRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type, message, *args):
        if type == "error":
            super().log(type, message, *args)


def main():
    app = DomainDispatcherApplication(create_backend_app)
    app.debug = True
    port = int(sys.argv[1])
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=KeepAlive)
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("ready", flush=True)
    server.serve_forever()


main()
