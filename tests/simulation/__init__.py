"""A fleet of many hosts in virtual time, on the MongoDB store's own code.

    python -m tests.simulation --hosts 1000 --jobs 1000000 --seed 7

The server is in memory (`database`), and each command to it is atomic for each document, as with
MongoDB without transactions. Between a worker and the server lies a network (`network`) that
delays, loses and cuts. Workers (`fleet`) claim, run, renew and settle by the store's own methods;
lost claims are taken back by its own upkeep. Nothing waits in earnest: `world` jumps from one event
to the next. `checks` looks at each write and each run whether a promise is broken.

All chance comes from one seed: the same seed gives the same course, command by command.
"""
