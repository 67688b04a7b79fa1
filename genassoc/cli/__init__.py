"""The command line."""


def main() -> None:
    """Run the command that the arguments of the process name; Ctrl-C while commands are loaded is an end like any other."""
    import os
    import signal

    def begun(number: int, frame: object) -> None:
        # Not raised: libraries that are half imported would turn it into errors of their own.
        os.write(2, b"genassoc: error: interrupted; nothing was begun\n")
        os._exit(130)

    try:
        before = signal.signal(signal.SIGINT, begun)
    except ValueError:  # not the main thread: no signal comes here
        before = None
    from genassoc.cli.commands import main as run

    if before is not None:
        signal.signal(signal.SIGINT, before)
    run()
