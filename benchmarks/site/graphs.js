/* Labels for the x axis of asv's graphs, which has none where a point is a commit: its hash, and its day below. */
"use strict";

(function ($) {
  const plain = $.plot;
  const room = 84; // pixels that a label takes, and some space

  function label(revision) {
    const known = $.asv.main_json;
    const day = new Date(known.revision_to_date[revision]).toISOString().slice(0, 10);
    return `<code>${known.revision_to_hash[revision].slice(0, 8)}</code><br>${day}`;
  }

  // The commits that have points in the part that is shown: as many as there is room for, the first and the last too.
  function ticks(series, width) {
    return function (axis) {
      const all = new Set(series.flatMap((one) => one.data.map((point) => point[0])));
      const shown = [...all].filter((x) => x >= axis.min && x <= axis.max).sort((a, b) => a - b);
      const step = (axis.max - axis.min) * room / Math.max(width, room);
      const chosen = [];
      for (const x of shown.reverse()) {
        if (!chosen.length || axis.options.transform || chosen[chosen.length - 1] - x >= step) chosen.push(x);
      }
      const every = Math.ceil(chosen.length * room / Math.max(width, room));
      const kept = axis.options.transform ? chosen.filter((_, at) => at % every === 0) : chosen;
      return kept.filter((x) => x in $.asv.main_json.revision_to_hash).map((x) => [x, label(x)]);
    };
  }

  $.plot = function (where, series, options) {
    const axis = options && options.xaxis;
    if (axis && axis.axisLabel === "commits") {
      delete axis.tickFormatter;
      axis.ticks = ticks(series, $(where).width());
      axis.labelHeight = 34;
    }
    return plain(where, series, options);
  };
  Object.assign($.plot, plain);
})(jQuery);
