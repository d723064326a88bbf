"""Exit code 0 when this container's stage says that it is healthy; else 1, with the reason."""

import os
import sys
import urllib.error
import urllib.request

url = f"http://127.0.0.1:{os.environ['TAILRACE_METRICS_PORT']}/healthz"
try:
    with urllib.request.urlopen(url, timeout=4) as answer:
        print(answer.read().decode().strip())  # noqa: T201
except urllib.error.HTTPError as error:
    sys.exit(error.read().decode().strip())
except OSError as error:
    sys.exit(f"no answer at {url}: {error}")
