"""Runs moto's EventBridge and SQS on one port, mended where threads or AWS' own ways matter.

Usage: python moto_server.py PORT

moto changes a queue's list of messages without a lock, so that under load a message can be lost or
handed to two receivers at once; it looks at a waiting receiver once a second; it hands messages to
receivers that have hung up; and it reads the same JSON paths anew for each delivery. AWS does none
of this. Nothing else of it is changed.
"""

import functools
import select
import socket
import sys
import time

import flask
import jsonpath_ng.ext
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.sqs import models
from werkzeug.serving import make_server

jsonpath_ng.ext.parse = functools.lru_cache(maxsize=None)(jsonpath_ng.ext.parse)

LOOK_SECONDS = 0.02  # between two looks at a queue that somebody waits for


def locked(method):
    @functools.wraps(method)
    def run(queue, *args, **kwargs):
        with queue._messages_lock:
            return method(queue, *args, **kwargs)

    return run


models.Queue.delete_message = locked(models.Queue.delete_message)

change_visibility = models.SQSBackend.change_message_visibility


def change_message_visibility(backend, queue_name, receipt_handle, visibility_timeout):
    with backend.get_queue(queue_name)._messages_lock:
        return change_visibility(backend, queue_name, receipt_handle, visibility_timeout)


models.SQSBackend.change_message_visibility = change_message_visibility


def has_hung_up():
    connection = flask.request.environ.get("werkzeug.socket")
    if connection is None:
        return False
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


receive_now = models.SQSBackend.receive_message


def receive_message(
    backend, queue_name, count, wait_seconds_timeout, visibility_timeout, message_attribute_names=None
):
    end = time.monotonic() + wait_seconds_timeout
    while True:
        queue = backend.get_queue(queue_name)
        if has_hung_up():
            return []
        with queue._messages_lock:
            taken = receive_now(
                backend, queue_name, count, 0, visibility_timeout, message_attribute_names
            )
            if taken or time.monotonic() >= end:
                return taken
            queue._messages_lock.wait(LOOK_SECONDS)


models.SQSBackend.receive_message = receive_message


class KeepAlive(MotoRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type, message, *args):
        if type == "error":
            super().log(type, message, *args)


def main():
    app = DomainDispatcherApplication(create_backend_app)
    app.debug = True
    server = make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True, request_handler=KeepAlive)
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("ready", flush=True)
    server.serve_forever()


main()
