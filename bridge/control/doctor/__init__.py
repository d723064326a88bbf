"""`tailrace doctor`: everything a deployment needs, looked at one by one."""
