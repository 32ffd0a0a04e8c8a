"""A Home Assistant core in this process, with its MQTT integration on a real broker, for the test that starts it.

usage: python bridge.py FOLDER HOST PORT

Set up as a person does it: through the integration's own dialogue. Standard input takes one question a line, standard
output gives one answer a line, both JSON: "entities", "log", or a service call as {"domain", "service", "data"}. The
end of the input is the end. The log goes to standard error, its warnings to "log" as well.
"""

import asyncio
import json
import logging
import pathlib
import sys

from homeassistant import auth, bootstrap, config_entries, loader
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry
from homeassistant.setup import async_setup_component


class Warnings(logging.Handler):
    """What was logged at warning or above, in order; at most LIMIT lines."""

    LIMIT = 1000

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        if len(self.lines) < self.LIMIT:
            self.lines.append({"logger": record.name, "text": record.getMessage()})


async def start(folder):
    """A core with its registries and nothing else."""
    pathlib.Path(folder, "configuration.yaml").touch()
    hass = HomeAssistant(folder)
    loader.async_setup(hass)
    # What is missing is a fault of the environment: nothing is installed while a test runs.
    hass.config.skip_pip = True
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [], [])
    if not await async_setup_component(hass, "homeassistant", {}):
        sys.exit("the core does not start")
    # The integration wants them for its pages only, and nobody opens a page here.
    hass.config.components.update(("http", "file_upload"))
    return hass


async def connect(hass, host, port):
    """The dialogue that a person goes through to add the MQTT integration."""
    flow = await hass.config_entries.flow.async_init("mqtt", context={"source": config_entries.SOURCE_USER})
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {"broker": host, "port": port})
    if result["type"] != "create_entry":
        sys.exit(f"the MQTT integration refuses the broker: {result}")
    await hass.async_block_till_done()
    if result["result"].state is not config_entries.ConfigEntryState.LOADED:
        sys.exit(f"the MQTT integration does not start: {result['result'].state}")


def entities(hass):
    """All that are registered, by the identity that the discovery payload gives them."""
    found = {}
    for entry in entity_registry.async_get(hass).entities.values():
        state = hass.states.get(entry.entity_id)
        found[entry.unique_id] = {
            "id": entry.entity_id,
            "domain": entry.domain,
            "disabled": entry.disabled,
            "state": state and state.state,
            "attributes": dict(state.attributes) if state else {},
        }
    return found


async def answer(hass, warnings, question):
    """One answer to one question; a call that is refused is answered with why."""
    if question == "entities":
        return entities(hass)
    if question == "log":
        return warnings.lines
    try:
        await hass.services.async_call(question["domain"], question["service"], question["data"], blocking=True)
    except Exception as error:  # Whatever the integration makes of the call, the test is told.
        return {"error": f"{type(error).__name__}: {error}"}
    return {"error": None}


async def main(folder, host, port):
    """From the start to the end of the input."""
    warnings = Warnings()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    logging.getLogger().addHandler(warnings)
    hass = await start(folder)
    await connect(hass, host, port)
    await hass.async_start()
    questions = asyncio.StreamReader()
    await hass.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
    while line := await questions.readline():
        print(json.dumps(await answer(hass, warnings, json.loads(line)), default=str), flush=True)
    await hass.async_stop()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
