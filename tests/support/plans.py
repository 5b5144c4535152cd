"""Settings under which the planner joins in other ways."""

PLANS: list[dict[str, str]] = [
    {},
    {"enable_nestloop": "off"},
    {"enable_hashjoin": "off", "enable_mergejoin": "off"},
    {"enable_indexscan": "off", "enable_bitmapscan": "off", "enable_indexonlyscan": "off"},
    {
        "enable_nestloop": "off",
        "enable_indexscan": "off",
        "enable_bitmapscan": "off",
        "enable_hashjoin": "off",
    },
    {"plan_cache_mode": "force_custom_plan"},
    {"plan_cache_mode": "force_generic_plan", "enable_material": "off"},
]
