"""What the gateway adds: latency, CPU, memory, start-up; against a bare proxy in the same run."""
