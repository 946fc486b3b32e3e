"""Runs moto's EventBridge and SQS on one port, in one thread, mended where AWS' ways matter.

Usage: python moto_server.py PORT

moto's own server has a thread for each connection, which change a queue's list of messages without
a lock: under load a message can be lost or handed to two receivers at once. It looks at a waiting
receiver once a second, and hands messages to receivers that have hung up. Its work for each event
grows with all rules and all messages that there are. AWS does none of this. Here one thread does
everything, and waiting receivers are woken. What a rule lets through, what is visible when, and
what a receipt is good for is decided by moto; so is every request that is not one of the few that
carry events.
"""

import asyncio
import functools
import io
import json
import secrets
import select
import socket
import sys
import urllib.parse
from collections import OrderedDict, deque
from datetime import datetime, timezone
from email.utils import formatdate

import moto.core.responses
import moto.sqs.models
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.utils import unix_time, unix_time_millis
from moto.events import events_backends
from moto.events.models import EventPattern, EventsBackend
from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sqs import sqs_backends
from moto.sqs.exceptions import ReceiptHandleIsInvalid
from moto.sqs.models import MAXIMUM_VISIBILITY_TIMEOUT, Message, Queue, SQSBackend
from moto.sqs.responses import validate_message_attributes

HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

# --- SQS ---

delete_by_moto = Queue.delete_message
change_by_moto = SQSBackend.change_message_visibility
delete_queue_of_moto = SQSBackend.delete_queue


def known(queue):
    """Receipt -> message, of all receipts that a queue has given."""
    return queue.__dict__.setdefault("cadre_receipts", {})


def delete_message(queue, receipt):
    message = known(queue).get(receipt)
    if message is None:
        delete_by_moto(queue, receipt)
    elif receipt not in queue.deleted_messages:
        queue._messages.remove(message)
        handles = message.all_receipt_handles
        queue.deleted_messages.update(handles)
        for handle in handles:
            known(queue).pop(handle, None)


def change_message_visibility(backend, queue_name, receipt_handle, visibility_timeout):
    queue = backend.get_queue(queue_name)
    message = known(queue).get(receipt_handle)
    if message is None and receipt_handle not in queue.deleted_messages:
        return change_by_moto(backend, queue_name, receipt_handle, visibility_timeout)
    if message is None:
        raise ReceiptHandleIsInvalid()
    ends_at = unix_time_millis() + int(visibility_timeout) * 1000
    if ends_at - message.sent_timestamp > MAXIMUM_VISIBILITY_TIMEOUT * 1000:
        return change_by_moto(backend, queue_name, receipt_handle, visibility_timeout)
    message.change_visibility(visibility_timeout)
    waiting_room.look_soon(queue)


def add_message(queue, message):
    queue._messages.append(message)
    waiting_room.look_soon(queue)


def delete_queue(backend, queue_name):
    queue = backend.get_queue(queue_name)
    delete_queue_of_moto(backend, queue_name)
    waiting_room.close(queue)


def take(queue, count, visibility_timeout):
    now = unix_time_millis()
    taken = []
    for message in queue._messages:
        if len(taken) == count:
            break
        if now > message.visible_at and now >= message.delayed_until:
            message.mark_received(visibility_timeout=visibility_timeout)
            known(queue)[message.receipt_handle] = message
            taken.append(message)
    return taken


def shown(message):
    item = {
        "MessageId": message.id,
        "ReceiptHandle": message.receipt_handle,
        "MD5OfBody": message.body_md5,
        "Body": message.body,
        "Attributes": {
            "SenderId": message.sender_id,
            "SentTimestamp": str(message.sent_timestamp),
            "ApproximateReceiveCount": str(message.approximate_receive_count),
            "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
        },
    }
    if message.message_attributes:
        item["MessageAttributes"] = message.message_attributes
        item["MD5OfMessageAttributes"] = message.attribute_md5
    return item


class WaitingRoom:
    """Receivers that wait, queue by queue, first come first served."""

    def __init__(self):
        self.loop = None
        self.dirty = {}

    def of(self, queue):
        return queue.__dict__.setdefault("cadre_waiting", deque())

    def enter(self, queue, receiver):
        self.of(queue).append(receiver)
        self.look(queue)

    def leave(self, queue, receiver):
        if receiver in self.of(queue):
            self.of(queue).remove(receiver)

    def look_soon(self, queue):
        """Once for all that is done in this turn, so that messages travel together."""
        if not self.of(queue):
            return
        if not self.dirty:
            self.loop.call_soon(self.look_at_all)
        self.dirty[id(queue)] = queue

    def look_at_all(self):
        queues, self.dirty = self.dirty, {}
        for queue in queues.values():
            self.look(queue)

    def look(self, queue):
        waiting = self.of(queue)
        while waiting and queue._messages:
            receiver = waiting[0]
            if receiver.has_hung_up():
                waiting.popleft()
                continue
            taken = take(queue, receiver.count, receiver.visibility_timeout)
            if not taken:
                break
            waiting.popleft()
            receiver.hand(taken)
        self.look_later(queue)

    def look_later(self, queue):
        timer = queue.__dict__.pop("cadre_timer", None)
        if timer is not None:
            timer.cancel()
        if not self.of(queue) or not queue._messages:
            return
        soonest = min(max(each.visible_at, each.delayed_until) for each in queue._messages)
        delay = max(0, soonest - unix_time_millis()) / 1000 + 0.001
        queue.cadre_timer = self.loop.call_later(delay, self.look, queue)

    def close(self, queue):
        waiting = self.of(queue)
        while waiting:
            waiting.popleft().ask_moto()


class Receiver:
    """A request for messages, until it is answered."""

    def __init__(self, connection, request, queue, wanted):
        self.connection = connection
        self.request = request
        self.queue = queue
        self.count = wanted.get("MaxNumberOfMessages", 1)
        self.visibility_timeout = int(wanted.get("VisibilityTimeout", queue.visibility_timeout))
        wait = wanted.get("WaitTimeSeconds", queue.receive_message_wait_time_seconds)
        self.timer = waiting_room.loop.call_later(int(wait), self.hand, [])
        connection.on_hang_up = self.leave

    def has_hung_up(self):
        return self.connection.has_hung_up()

    def hand(self, messages):
        self.leave()
        self.connection.answer(200, {"Messages": [shown(each) for each in messages]})

    def ask_moto(self):
        self.leave()
        self.connection.ask_moto(self.request)

    def leave(self):
        self.timer.cancel()
        self.connection.on_hang_up = None
        waiting_room.leave(self.queue, self)


waiting_room = WaitingRoom()
moto.sqs.models.generate_receipt_handle = lambda: secrets.token_urlsafe(96)  # moto's takes 1 ms
Queue.add_message = add_message
Queue.delete_message = delete_message
SQSBackend.change_message_visibility = change_message_visibility
SQSBackend.delete_queue = delete_queue

# --- EventBridge ---

put_events_of_moto = EventsBackend.put_events
SIMPLE = {"source", "detail-type"}  # names of what decides for all events of one source and type
MOST_ROUTES = 10_000
changes = [0]  # of all rules
routes = OrderedDict()


def counted(method):
    def run(*args, **kwargs):
        try:
            return method(*args, **kwargs)
        finally:
            changes[0] += 1

    return run


def is_simple(rule):
    conditions = rule.event_pattern.get_pattern()
    if not conditions.keys() <= SIMPLE:
        return False
    return all(isinstance(condition, list) for condition in conditions.values())


def fits(rule, message):
    """What moto says; once for all messages of one source and type, where nothing else counts."""
    pattern = rule.event_pattern
    if not is_simple(rule):
        return pattern.matches_event(message)
    said = pattern.__dict__.setdefault("cadre_said", OrderedDict())
    key = (message["source"], message["detail-type"])
    if key not in said:
        said[key] = all(
            pattern._does_item_match_filters(message[name], condition)
            for name, condition in pattern.get_pattern().items()
        )
        if len(said) > MOST_ROUTES:
            said.popitem(last=False)
    return said[key]


def rules_for(backend, bus_name, message):
    key = (backend.account_id, backend.region_name, bus_name)
    key += (message["source"], message["detail-type"])
    route = routes.get(key)
    if route is None or route[0] != changes[0]:
        rules = list(backend.describe_event_bus(bus_name).rules.values())
        # Those of which moto has said that they fit, and those that look into each event.
        fitting = [rule for rule in rules if not is_simple(rule) or fits(rule, message)]
        route = routes[key] = (changes[0], fitting)
        if len(routes) > MOST_ROUTES:
            routes.popitem(last=False)
    return [rule for rule in route[1] if rule.state == "ENABLED" and fits(rule, message)]


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
    queues = sqs_backends[backend.account_id][backend.region_name].queues
    for rule in rules_for(backend, name, message):
        body = body or json.dumps(message)
        for target in rule.targets:
            queue = queues.get(target["Arn"].split(":")[-1])
            if queue is not None:
                copy = Message(str(mock_random.uuid4()), body)
                copy.mark_sent()
                add_message(queue, copy)
    return [{"EventId": event_id}]


EventsBackend.put_events = put_events
EventsBackend.put_rule = counted(EventsBackend.put_rule)
EventsBackend.delete_rule = counted(EventsBackend.delete_rule)

# --- requests ---


def backend_of(backends, request):
    scope = request.headers.get("authorization", "").partition("Credential=")[2].split("/")
    return backends[DEFAULT_ACCOUNT_ID][scope[2] if len(scope) > 2 else "us-east-1"]


def queue_of(request, wanted):
    backend = backend_of(sqs_backends, request)
    name = wanted["QueueUrl"].rsplit("/", 1)[-1]
    return backend, name, backend.get_queue(name)


def receive(connection, request, wanted):
    _, _, queue = queue_of(request, wanted)
    assert 1 <= wanted.get("MaxNumberOfMessages", 1) <= 10
    assert 0 <= int(wanted.get("WaitTimeSeconds", 0)) <= 20
    assert 0 <= int(wanted.get("VisibilityTimeout", 0)) <= MAXIMUM_VISIBILITY_TIMEOUT
    receiver = Receiver(connection, request, queue, wanted)
    if int(wanted.get("WaitTimeSeconds", queue.receive_message_wait_time_seconds)) == 0:
        receiver.hand(take(queue, receiver.count, receiver.visibility_timeout))
    else:
        waiting_room.enter(queue, receiver)


def send(connection, request, wanted):
    backend, name, _ = queue_of(request, wanted)
    entries = {}
    for at, entry in enumerate(wanted["Entries"]):
        validate_message_attributes(entry.setdefault("MessageAttributes", {}))
        entry.setdefault("DelaySeconds", None)
        entries[str(at)] = entry
    assert entries
    messages, failed = backend.send_message_batch(name, entries)
    sent = [
        {"Id": each.user_id, "MessageId": each.id, "MD5OfMessageBody": each.body_md5}
        for each in messages
    ]
    connection.answer(200, {"Successful": sent, "Failed": failed})


def settle(operation):
    def run(connection, request, wanted):
        backend, name, _ = queue_of(request, wanted)
        assert wanted["Entries"]
        done, failed = getattr(backend, operation)(name, wanted["Entries"])
        successful = [{"Id": each} for each in done]
        connection.answer(200, {"Successful": successful, "Failed": failed})

    return run


def publish(connection, request, wanted):
    entries = backend_of(events_backends, request).put_events(wanted["Entries"])
    failed = sum("ErrorCode" in entry for entry in entries)
    connection.answer(200, {"FailedEntryCount": failed, "Entries": entries})


OPERATIONS = {
    "AmazonSQS.ReceiveMessage": receive,
    "AmazonSQS.SendMessageBatch": send,
    "AmazonSQS.DeleteMessageBatch": settle("delete_message_batch"),
    "AmazonSQS.ChangeMessageVisibilityBatch": settle("change_message_visibility_batch"),
    "AWSEvents.PutEvents": publish,
}

# moto lists its own folder for each request, and looks for the methods of a class anew.
find_methods = functools.cache(moto.core.responses.method_names_from_class)
moto.core.responses.method_names_from_class = find_methods
dispatcher = DomainDispatcherApplication(create_backend_app)
applications = {}


def application_for(request):
    scope = request.headers.get("authorization", "").partition("Credential=")[2].split("/")
    service = scope[3] if len(scope) > 3 else None
    if service not in ("events", "sqs"):
        return dispatcher
    if service not in applications:
        applications[service] = dispatcher.get_application(request.environ())
    return applications[service]



class Request:
    def __init__(self, head):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self.length = int(self.headers.get("content-length", 0))
        self.body = b""

    def environ(self):
        path, _, query = self.target.partition("?")
        environ = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": urllib.parse.unquote(path),
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(self.length),
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": sys.argv[1],
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value
        return environ


class Connection(asyncio.Protocol):
    """One request after the other."""

    def __init__(self):
        self.transport = None
        self.buffer = bytearray()
        self.request = None
        self.is_busy = False
        self.on_hang_up = None
        self.poll = None

    def connection_made(self, transport):
        self.transport = transport
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.poll = select.poll()
        self.poll.register(connection.fileno(), HUNG_UP)

    def has_hung_up(self):
        return self.transport.is_closing() or bool(self.poll.poll(0))

    def eof_received(self):
        self.connection_lost(None)

    def connection_lost(self, _error):
        if self.on_hang_up is not None:
            self.on_hang_up()

    def data_received(self, data):
        self.buffer += data
        self.read_on()

    def read_on(self):
        while not self.is_busy:
            if self.request is None:
                head, end, rest = self.buffer.partition(b"\r\n\r\n")
                if not end:
                    return
                self.request, self.buffer = Request(head), rest
            request = self.request
            if len(self.buffer) < request.length:
                return
            request.body = bytes(self.buffer[: request.length])
            del self.buffer[: request.length]
            self.request, self.is_busy = None, True
            self.handle(request)

    def handle(self, request):
        operation = OPERATIONS.get(request.headers.get("x-amz-target"))
        if operation is None:
            self.ask_moto(request)
            return
        try:
            operation(self, request, json.loads(request.body))
        except Exception:  # nothing was done yet; moto says what is wrong
            self.ask_moto(request)

    def ask_moto(self, request):
        said = []

        def start(status, headers, _=None):
            said.append((status, headers))

        body = b"".join(application_for(request)(request.environ(), start))
        self.write(*said[0], body)

    def answer(self, status, body):
        headers = [("Content-Type", "application/x-amz-json-1.0")]
        self.write(f"{status} OK", headers, json.dumps(body).encode())

    def write(self, status, headers, body):
        lines = [f"HTTP/1.1 {status}", f"Date: {formatdate(usegmt=True)}"]
        lines += [
            f"{name}: {value}" for name, value in headers if name.lower() != "content-length"
        ]
        lines += [f"Content-Length: {len(body)}", "", ""]
        self.transport.write("\r\n".join(lines).encode("latin-1") + body)
        self.is_busy = False
        waiting_room.loop.call_soon(self.read_on)


async def main():
    waiting_room.loop = asyncio.get_running_loop()
    server = await waiting_room.loop.create_server(
        Connection, "127.0.0.1", int(sys.argv[1]), backlog=1_000
    )
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
