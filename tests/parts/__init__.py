"""The real parts beside our own processes: brokers, DynamoDB, object stores, started for tests.

Every part starts on a free loopback port, is ready when `start` returns (a real request was
answered), tells the tail of its log when it is not, and never outlives the test run. A part that
can't start is an error of the run, never a skipped test.
"""
