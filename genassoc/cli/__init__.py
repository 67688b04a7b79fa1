"""The command line."""


def main() -> None:
    """Run the command that the arguments of the process name; Ctrl-C while commands are loaded is an end like any other."""
    import contextlib
    import os
    import signal

    def begun(number: int, frame: object) -> None:
        # Not raised: libraries that are half imported would turn it into errors of their own.
        os.write(2, b"genassoc: error: interrupted; nothing was begun\n")
        os._exit(130)

    before = None
    if (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):  # else it is ignored, as of jobs in the background
        with contextlib.suppress(ValueError):  # not the main thread: no signal comes here
            before = signal.signal(signal.SIGINT, begun)
    from genassoc.cli.commands import main as run

    if before is not None:
        signal.signal(signal.SIGINT, before)
    run()
