"""The uploader `codspeed`: takes the parts of a bundle to the CodSpeed service, one by one.

A part is packed, announced and stored; then, after a local run, the service's results are shown.
Source: spec/cli-upload.md 4. What fails here leaves the bundle as it is, and says how to repeat.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import attrs

from codspeed.bundle import part_folder
from codspeed.errors import AuthenticationError, CodspeedError, UploadError
from codspeed.journal import secrets_of
from codspeed.model import Bundle, Compat, Reporter
from codspeed.protocols import Receipt, UploaderDefaults
from codspeed_service import contract, destination, metadata
from codspeed_service.api import Api, ServiceError
from codspeed_service.archive import packed
from codspeed_service.credentials import Credentials, fixed_token
from codspeed_service.http import Client
from codspeed_service.metadata import Destination
from codspeed_service.outcome import show_outcome
from codspeed_service.run_part import upload_part
from codspeed_service.upload import RefusedTokenError, announce, store

if TYPE_CHECKING:
    from codspeed.model import PartRecord, RunContext, System
    from codspeed_service.archive import Archive
    from codspeed_service.descriptor import ServiceOptions
    from codspeed_service.metadata import JobPart
    from codspeed_service.upload import Slot

_MOST_RENEWALS = 3  # of a short-lived token that is refused: as often as a request is repeated


class ServiceUploader(UploaderDefaults):
    """Speaks the upload contract of the reference runner.

    Args:
        options: What the user set.
        client: The HTTP client; tests give one that does not wait.
    """

    def __init__(self, options: ServiceOptions, *, client: Client | None = None) -> None:
        super().__init__(options)
        self._client = client or Client()
        self._reporter = Reporter()
        self._system: System | None = None

    def prepare(self, system: System, reporter: Reporter) -> None:
        """Learn about the machine, whom to tell, and what must never be said."""
        self._system, self._reporter = system, reporter
        self._client.secrets |= set(secrets_of(system.env))

    def accepts(self, part: Any) -> str | None:
        """Return why the service can't take a part."""
        record: PartRecord = part
        if record.executor not in contract.EXECUTORS:
            known = ", ".join(contract.EXECUTORS)
            return f"the service only knows the executors {known}; see it with `codspeed compare`"
        if record.error:
            return f"it failed ({record.error}); run it again"
        if record.executor == "valgrind" and record.compat is Compat.NATIVE:
            return (
                "it was measured with --compat native, whose numbers the service would take for "
                "a change; run it again with --compat codspeed"
            )
        return None

    def upload(self, bundle: Bundle) -> Receipt:
        """Upload every part.

        Raises:
            UploadError: If a part could not be taken; those before it were.
            AuthenticationError: If the token is refused, or there is none.
            ServiceError: If the results of a local run can't be shown; they are uploaded then.
        """
        if bundle.manifest.exit_code:
            return Receipt("not uploaded to CodSpeed: the run failed")
        try:
            uploaded = self._upload(bundle)
        except (UploadError, AuthenticationError) as failure:
            return self._failed(bundle, failure)
        target = uploaded.target
        if uploaded.api is None:
            url = destination.page(target, self.options.upload_url)
        else:
            url = self._outcome(uploaded.api, target, uploaded.run_id)
        return Receipt(f"uploaded to CodSpeed: {target.owner}/{target.name}", url)

    def _failed(self, bundle: Bundle, failure: CodspeedError) -> Receipt:
        self._reporter.debug("names of owners and repositories are case-sensitive on the service")
        again = f"codspeed upload {shlex.quote(str(bundle.path))} --uploader codspeed"
        if self.options.upload_optional:
            self._reporter.warning(str(failure))
            return Receipt(f"not uploaded to CodSpeed, which was optional; later: {again}")
        remedy = f"the bundle is whole; to repeat the upload: {again}"
        failure.hint = remedy if failure.hint is None else f"{failure.hint}\n{remedy}"
        raise failure

    def _upload(self, bundle: Bundle) -> _Uploaded:
        token = fixed_token(self.options, self._client)
        context = bundle.manifest.context
        credentials = Credentials(token, context, self._env, self._client, self._reporter.warning)
        api = Api(self._client, self.options.api_url or contract.API_URL, token)
        is_local = context.provider not in contract.RUN_ENVIRONMENTS
        if is_local:
            credentials.token()  # without one nothing below can work
            target = self._local_target(context, api)
        else:
            target = destination.of_job(context, self.options)
        last = _Uploads(self, bundle, target, credentials).run()
        self._reporter.info("Performance data uploaded")
        self._reporter.info(f"Linked repository: {target.owner}/{target.name}")
        return _Uploaded(target, last, api if is_local else None)

    def _local_target(self, context: RunContext, api: Api) -> Destination:
        try:
            return destination.of_local_run(context, self.options, api, self._reporter.info)
        except ServiceError as failure:  # nothing was uploaded yet
            raise UploadError(failure.problem, hint=failure.hint) from failure

    def _outcome(self, api: Api, target: Destination, run_id: str) -> str:
        """Show what the service computed; that it can't be shown undoes no upload."""
        try:
            return show_outcome(api, target, run_id, self.options, self._reporter, self._env)
        except (ServiceError, AuthenticationError) as failure:
            done = f"the results are uploaded (run {run_id}); only their analysis can't be shown"
            failure.hint = done if failure.hint is None else f"{failure.hint}\n{done}"
            if not self.options.upload_optional:
                raise
            self._reporter.warning(str(failure))
            return ""

    @property
    def _env(self) -> dict[str, str]:
        return {} if self._system is None else dict(self._system.env)


@attrs.frozen
class _Uploaded:
    """What was done.

    Attributes:
        run_id: Of the last part; all belong to one run.
        api: Where the results of a local run are asked for; None in CI, which waits for none.
    """

    target: Destination
    run_id: str
    api: Api | None


@attrs.frozen
class _Uploads:
    """The uploads of one bundle, in order; the first that fails ends them."""

    uploader: ServiceUploader
    bundle: Bundle
    target: Destination
    credentials: Credentials

    def run(self) -> str:
        """Upload every part; return the service's id of the last run."""
        run_id = ""
        parts = self.bundle.manifest.parts
        for index, record in enumerate(parts):
            if len(parts) > 1:
                self._reporter.info(f"Uploading results {index + 1}/{len(parts)}")
            run_id = self._part(index, record)
        return run_id

    @property
    def _reporter(self) -> Reporter:
        return self.uploader._reporter  # noqa: SLF001 - one class in two, by what they are about

    @property
    def _client(self) -> Client:
        return self.uploader._client  # noqa: SLF001 - one part of the uploader's own work

    def _part(self, index: int, record: PartRecord) -> str:
        folder = part_folder(self.bundle, record)
        if not folder.is_dir():
            problem = f"the profiles of {record.executor}-{record.index} are gone from {folder}"
            raise UploadError(problem, hint="`codspeed store gc` removes old ones; measure again")
        system = self.uploader._system  # noqa: SLF001 - one part of the uploader's own work
        temp = folder.parent if system is None else system.temp
        warn = self._reporter.warning
        with packed(folder, record.archive, temp=temp, warn=warn) as archive:
            self._reporter.debug(f"packed {archive.size} bytes, MD5 {archive.md5}")
            slot = self._announce(index, record, archive)
            self._reporter.debug(f"runId: {slot.run_id}")
            store(self._client, slot, archive)
        return slot.run_id

    def _announce(self, index: int, record: PartRecord, archive: Archive) -> Slot:
        """Announce with a new token; one that expired on the way is renewed."""
        # Asked for after packing, which may take longer than the token lives.
        token = self.credentials.token()
        part = upload_part(
            self.bundle.manifest,
            record.executor,
            index=index,
            count=len(self.bundle.manifest.parts),
            warn=self._reporter.warning,
        )
        for renewals in range(_MOST_RENEWALS + 1):
            try:
                return self._announce_with(token, part, record, archive)
            except RefusedTokenError:
                if not self.credentials.is_renewable or renewals == _MOST_RENEWALS:
                    raise
                token = self.credentials.token()
        raise AssertionError  # not reached: the last round returns or raises

    def _announce_with(
        self, token: str | None, part: JobPart | None, record: PartRecord, archive: Archive
    ) -> Slot:
        document = metadata.document(
            self.bundle.manifest,
            record,
            destination=self.target,
            part=part,
            archive=metadata.Packed(archive.md5, archive.encoding),
            is_tokenless=token is None,
            local_parts=len(self.bundle.manifest.parts),
        )
        body = metadata.dump(document)
        if token is None:
            # The service finds this line in the job's log: that is how it knows whose upload it is.
            line = f'CodSpeed Run Hash: "{metadata.run_hash(body)}"'
            self._reporter.verbatim(line)
        return announce(
            self._client,
            self.uploader.options.upload_url or contract.UPLOAD_URL,
            body,
            token=token,
            environment=str(document["runEnvironment"]),
        )
