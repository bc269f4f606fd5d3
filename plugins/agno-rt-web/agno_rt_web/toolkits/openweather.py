"""The toolkit `openweather`: weather by OpenWeather. https://openweathermap.org/current and /forecast5"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from agno_rt.tools import Tool, tool
from agno_rt_web.services import ServiceClient, list_of, number_of, text_of
from agno_rt_web.session import Session
from agno_rt_web.toolkits.common import reading

__all__ = ["make_tools"]

Place = Annotated[str, Meta(min_length=1, max_length=100)]
Units = Literal["metric", "imperial", "standard"]
A_DAY = 8
"""The forecasts of a day: one for three hours."""


def make_tools(session: Session, rest: str) -> list[Tool]:
    """Make the tools."""
    service = session.open_service("openweather")
    options = {**reading(session.settings), "check_ready": service.check_ready}

    @tool(**options)
    async def get_current_weather(location: Place, units: Units = "metric") -> dict[str, Any]:
        """Get the current weather of a place.

        Args:
            location: a city, or a city and its country, such as London,GB
            units: degrees Celsius, Fahrenheit or Kelvin
        """
        value = await service.get_json("/weather", _ask(service, location, units))
        place = {"location": text_of(value, "name"), "country": text_of(value, "sys", "country")}
        place |= {"coordinates": _show_coordinates(value), "units": units}
        sun = {name: number_of(value, "sys", name) for name in ("sunrise", "sunset")}
        return {"current_weather": {**place, **_show_weather(value), **sun}}

    @tool(**options)
    async def get_weather_forecast(
        location: Place, days: Annotated[int, Meta(ge=1, le=5)] = 3, units: Units = "metric"
    ) -> dict[str, Any]:
        """Get the forecast of a place, in steps of three hours.

        Args:
            location: a city, or a city and its country, such as London,GB
            days: the number of days
            units: degrees Celsius, Fahrenheit or Kelvin
        """
        value = await service.get_json("/forecast", {**_ask(service, location, units), "cnt": days * A_DAY})
        city = value.get("city") if isinstance(value, dict) else None
        place = {"location": text_of(city, "name"), "country": text_of(city, "country")}
        place |= {"coordinates": _show_coordinates(city), "units": units}
        steps = [
            {"datetime": text_of(each, "dt_txt"), "timestamp": number_of(each, "dt"), **_show_weather(each)}
            for each in list_of(value, "list", most=days * A_DAY)
        ]
        return {"weather_forecast": {**place, "forecast_days": days, "forecasts": steps}}

    return [get_current_weather, get_weather_forecast]


def _ask(service: ServiceClient, location: str, units: str) -> dict[str, Any]:
    return {"q": location, "units": units, "appid": service.need_key()}


def _show_coordinates(value: Any) -> str:
    latitude, longitude = number_of(value, "coord", "lat"), number_of(value, "coord", "lon")
    return "" if latitude is None or longitude is None else f"{latitude:.4f}, {longitude:.4f}"


def _show_weather(value: Any) -> dict[str, Any]:
    described = [text_of(each, "description") for each in list_of(value, "weather", most=5)]
    return {
        "temperature": number_of(value, "main", "temp"),
        "feels_like": number_of(value, "main", "feels_like"),
        "temperature_min": number_of(value, "main", "temp_min"),
        "temperature_max": number_of(value, "main", "temp_max"),
        "pressure": number_of(value, "main", "pressure"),
        "humidity": number_of(value, "main", "humidity"),
        "weather": ", ".join(filter(None, described)),
        "wind_speed": number_of(value, "wind", "speed"),
        "wind_direction": number_of(value, "wind", "deg"),
        "cloudiness": number_of(value, "clouds", "all"),
    }
