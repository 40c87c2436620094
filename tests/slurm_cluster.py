"""A real Slurm on this machine for tests: munged, slurmctld and two virtual nodes, on loopback."""

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "ss")
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def missing() -> str:
    """Why there can be no cluster here, or nothing."""
    absent = [name for name in NEEDED if shutil.which(name, path=PLACES) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return "" if os.geteuid() == 0 else "Slurm's daemons want root"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """`variables` is the environment of those who use it; `pids` are its daemons'."""

    home: Path
    variables: Mapping[str, str]
    ports: tuple[int, ...]
    pids: tuple[int, ...]

    def call(self, *words: str) -> str:
        done = subprocess.run(words, env=self.variables, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def queue(self) -> dict[str, str]:
        """The state of each job by its id."""
        lines = self.call("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)


@contextlib.contextmanager
def cluster(home: Path) -> Iterator[Cluster]:
    """Started and stopped with the block."""
    ports = _free_ports(3)
    config = _configure(home, ports)
    variables = os.environ | {"SLURM_CONF": str(config), "PATH": PLACES}
    key, munge = home / "munge.key", home / "munge"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    munge.mkdir(mode=0o755)
    commands = [
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge}/socket",
         f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"],
        ["slurmctld", "-D", "-f", str(config)],
        *(["slurmd", "-D", "-f", str(config), "-N", name] for name in ("n1", "n2")),
    ]  # fmt: skip
    daemons = []
    try:
        for words in commands:
            with (home / f"{words[0]}.out").open("ab") as out:
                daemons.append(
                    subprocess.Popen(words, env=variables, stdout=out, stderr=subprocess.STDOUT)
                )
            if words[0] == "munged":
                _until(lambda: (munge / "socket").exists(), home)
        found = Cluster(home, variables, ports, tuple(d.pid for d in daemons))
        _until(lambda: found.call("sinfo", "--noheader", "--format=%T").split() == ["idle"], home)
        yield found
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _configure(home: Path, ports: tuple[int, ...]) -> Path:
    for name in ("state", "n1", "n2"):
        (home / name).mkdir()
    lines = f"""
        ClusterName=tests
        SlurmctldHost=localhost(127.0.0.1)
        SlurmctldPort={ports[0]}
        AuthType=auth/munge
        AuthInfo=socket={home}/munge/socket
        CredType=cred/munge
        CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
        SlurmUser=root
        SlurmdUser=root
        StateSaveLocation={home}/state
        SlurmdSpoolDir={home}/%n
        SlurmctldPidFile={home}/slurmctld.pid
        SlurmdPidFile={home}/%n.pid
        SlurmctldLogFile={home}/slurmctld.log
        SlurmdLogFile={home}/%n.log
        ProctrackType=proctrack/pgid
        TaskPlugin=task/none
        MpiDefault=none
        SelectType=select/cons_tres
        SelectTypeParameters=CR_CPU
        PreemptType=preempt/partition_prio
        PreemptMode=REQUEUE
        ReturnToService=2
        KillWait=10
        InactiveLimit=0
        SchedulerParameters=batch_sched_delay=1,sched_interval=2,requeue_delay=1
        NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]}-{ports[2]} CPUs=1
        PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1
        PartitionName=urgent Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=9 PreemptMode=OFF
    """
    path = home / "slurm.conf"
    path.write_text("\n".join(line.strip() for line in lines.strip().splitlines()) + "\n")
    return path


def _free_ports(count: int) -> tuple[int, ...]:
    """Neighbours, since Slurm takes those of its nodes as a range."""
    for _ in range(100):
        with contextlib.ExitStack() as held, contextlib.suppress(OSError, OverflowError):
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            for i in range(1, count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port + i))
            return tuple(range(port, port + count))
    raise RuntimeError("no free ports")


def _until(holds, home: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(AssertionError, subprocess.SubprocessError):
            if holds():
                return
        time.sleep(0.2)
    said = {p.name: p.read_text(errors="replace")[-800:] for p in home.glob("*.[lo][ou][gt]")}
    raise RuntimeError(f"the cluster did not start: {said}")
