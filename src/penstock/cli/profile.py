"""``penstock profile``: sets of settings, one of which is active."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from penstock import errors, profiles, settings
from penstock.cli import arguments, output, tree
from penstock.cli.config import ShowSecrets
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session

app = tree.group("profile", "Profiles: sets of settings, one of which is active.")

Profile = Annotated[str, Parameter(metavar="NAME", help="The profile.")]


@app.command(name="ls", alias="list")
def ls(*, out: OutputOptions = AS_FITS, here: Here) -> None:
    """List the profiles; a star marks the one that counts."""
    known = settings.read_profiles(settings.home_of(here.given))
    chosen = here.given.get("PENSTOCK_PROFILE") or known.active  # such a list is of use also when it does not exist
    if out.format in {"json", "jsonl", "csv"}:
        rows = [
            {"name": name, "active": name == chosen, "settings": len(known.tables.get(name, {}))}
            for name in known.names
        ]
        output.write_all(here, out.format, [out.only(row) for row in rows])
        return
    terminal = here.terminal
    terminal.write(terminal.paint("Available Profiles:", "bold"))
    for name in known.names:
        terminal.write(terminal.paint(f"* {name}", "green") if name == chosen else f"  {name}")
    terminal.write(terminal.paint("* active profile", "dim"))
    if chosen not in known.names:
        terminal.warn(f"There is no profile `{chosen}`, which is named as the one to use")


@app.command
def create(
    name: Annotated[str, Parameter(metavar="NAME", help="Of small letters, digits, `-` and `_`.")],
    /,
    *,
    from_: Annotated[
        str | None, Parameter(name="--from", metavar="NAME", help="Begin with the settings of this profile.")
    ] = None,
    here: Here,
) -> None:
    """Make a profile. It is not active before `penstock profile use`."""
    profiles.create(settings.home_of(here.given), name, like=from_)
    copied = f"\n    from name - {from_}" if from_ else ""
    here.terminal.tell(f"Created profile with properties:\n    name - '{name}'{copied}")
    here.terminal.tell(f"Use created profile for future, subsequent commands:\n    penstock profile use '{name}'")
    here.terminal.tell(f"Use created profile temporarily for a single command:\n    penstock -p '{name}' config view")


@app.command
def use(name: Profile, /, *, here: Here) -> None:
    """Make a profile the active one, and see whether its API answers."""
    given = {**here.given, "PENSTOCK_PROFILE": name}
    wanted = settings.load(given)  # raises for a profile with which no command would work
    profiles.use(wanted.home, name)
    _warn_of_environment(here, name)
    if wanted.api_url is None:
        here.terminal.tell(f"No server is named in profile '{name}': everything happens in {wanted.home}.")
        return
    url = settings.shown("api_url", wanted.api_url)
    problem = _unreachable(wanted.api_url)
    if problem is None:
        here.terminal.tell(f"Connected to Penstock at {url} using profile '{name}'.")
    else:
        here.terminal.tell(f"Profile '{name}' is active now.")
        here.terminal.warn(f"Its API cannot be reached ({problem}): {url}")
        here.terminal.hint("`penstock server start` starts one here; `penstock config set` names another")


@app.command
def inspect(
    name: Annotated[str | None, Parameter(metavar="NAME", help="The profile. Without it: the one that counts.")] = None,
    /,
    *,
    show_secrets: ShowSecrets = False,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """Show the settings of a profile."""
    known = settings.read_profiles(settings.home_of(here.given))
    name = known.known(name) if name else known.chosen(here.given)
    values = {
        key: value if show_secrets else settings.shown(key, value) for key, value in known.tables.get(name, {}).items()
    }
    if not values and out.format is None:
        here.terminal.tell(f"Profile '{name}' is empty.")
        return
    output.show_one(here, out, values, lambda: "\n".join(f"{key}='{_shown(value)}'" for key, value in values.items()))


@app.command
def rename(
    name: Profile,
    new: Annotated[str, Parameter(metavar="NEW-NAME", help="Of small letters, digits, `-` and `_`.")],
    /,
    *,
    here: Here,
) -> None:
    """Give a profile another name. If it is active, it stays so."""
    profiles.rename(settings.home_of(here.given), name, new)
    here.terminal.tell(f"Renamed profile '{name}' to '{new}'.")
    if here.given.get("PENSTOCK_PROFILE") == name:
        here.terminal.warn(f"PENSTOCK_PROFILE still says '{name}': change it to '{new}'")


@app.command
def delete(
    name: Profile,
    /,
    *,
    yes: arguments.Yes = False,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> None:
    """Delete a profile with all its settings. The active one cannot be deleted."""
    home = settings.home_of(here.given)
    known = settings.read_profiles(home)
    profiles.refuse_delete(known, name)
    if here.given.get("PENSTOCK_PROFILE") == name:
        raise errors.SettingRefused(
            f"Profile '{name}' is the one that PENSTOCK_PROFILE or `-p` names.", hint="name another, then delete it"
        )
    if dry_run:
        here.terminal.tell(f"Would remove profile '{name}'.")
        return
    if here.terminal.may_ask:
        here.terminal.confirm(f"Delete profile '{name}'?", yes=yes)
    profiles.delete(home, name)
    here.terminal.tell(f"Removed profile '{name}'.")


def _warn_of_environment(here: Session, name: str) -> None:
    other = here.given.get("PENSTOCK_PROFILE")
    if other and other != name:
        here.terminal.warn(f"PENSTOCK_PROFILE names '{other}', and wins over it; `unset PENSTOCK_PROFILE` clears it")


def _unreachable(api_url: str) -> str | None:
    """Why the API does not answer; None if it does."""
    import http.client  # noqa: PLC0415  only here
    from urllib.parse import urlsplit  # noqa: PLC0415  only here

    try:
        url = urlsplit(api_url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname or "", url.port, timeout=3)
        try:
            connection.request("GET", url.path.rstrip("/") + "/health")
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    except http.client.HTTPException:
        return "what answers there speaks no HTTP"
    return None if status == 200 else f"it answers with {status}"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
