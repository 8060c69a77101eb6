"""Services that run beside a gateway: provider batch jobs, embedding jobs, and answers computed ahead by jobs.

May import the gateway and everything below it.
"""
