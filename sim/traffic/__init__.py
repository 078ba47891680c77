"""The data plane: traffic, queues, retries and memory as a fluid, advanced from event to event."""
