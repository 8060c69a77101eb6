"""Services that run beside a gateway: batch jobs, embedding jobs, and answers computed ahead by jobs.

`service` answers `/v1/batches`, `translator` writes requests into providers' jobs and their answers back, `providers`
are the batch APIs a configuration names. May import the gateway and everything below it.
"""
