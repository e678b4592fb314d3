"""What tests of several folders share: servers, logs, a fault proxy."""
