// Two videos that play as one: they start together, stay within a frame of each other, step together, and each may end on its own.

const DRIFT_TO_NUDGE_S = 0.015;
const DRIFT_TO_JUMP_S = 0.2;
const NUDGE = 0.08;

export class PairPlayer {
  /**
   * @param {HTMLVideoElement[]} videos the left and the right one
   * @param {(player: PairPlayer) => void} onChange called whenever time, playing or ended may have changed
   */
  constructor(videos, onChange) {
    this.videos = videos;
    this.onChange = onChange;
    this.playing = false;
    this.framesPerS = 15;
    this.rate = 1;
    for (const video of videos) {
      video.addEventListener("seeked", () => onChange(this));
      video.addEventListener("ended", () => this.#settle());
    }
  }

  /** Show two videos from their start. Resolves when both can be played. */
  async load(urls, framesPerS) {
    this.pause();
    this.framesPerS = framesPerS;
    await Promise.all(this.videos.map((video, place) => ready(video, urls[place])));
    this.onChange(this);
  }

  /** Length of the longer video [s]. */
  get durationS() {
    return Math.max(0, ...this.videos.map((video) => video.duration || 0));
  }

  /** Where the longer video is [s]. */
  get timeS() {
    return Math.max(...this.videos.map((video) => video.currentTime));
  }

  get ended() {
    return this.videos.every((video) => video.ended);
  }

  /** Play on; from the start if both have ended. Resolves to whether the browser lets them play. */
  async play() {
    if (this.ended) {
      this.seek(0);
    }
    this.playing = true;
    this.onChange(this);
    const going = this.videos.filter((video) => !video.ended);
    const started = await Promise.allSettled(going.map((video) => video.play()));
    if (started.some((result) => result.status === "rejected")) {
      this.pause();
      return false;
    }
    requestAnimationFrame(() => this.#keepInStep());
    return true;
  }

  pause() {
    this.playing = false;
    for (const video of this.videos) {
      video.pause();
    }
    this.setRate(this.rate);
  }

  /** Play slower, or as fast as it was: 1, 0.5, 0.25. */
  setRate(rate) {
    this.rate = rate;
    for (const video of this.videos) {
      video.defaultPlaybackRate = rate;
      video.playbackRate = rate;
    }
    this.onChange(this);
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  /** Go to a time [s] in both, or to the end of the shorter one. */
  seek(timeS) {
    for (const video of this.videos) {
      video.currentTime = Math.min(Math.max(0, timeS), video.duration || 0);
    }
  }

  /** Move both by one frame, and stop there: to the frame's middle, where no rounding shows its neighbour. */
  step(direction) {
    this.pause();
    const frame = Math.floor(this.timeS * this.framesPerS + 0.01) + direction;
    this.seek((Math.max(0, frame) + 0.5) / this.framesPerS);
  }

  #keepInStep() {
    if (!this.playing) {
      return;
    }
    const [left, right] = this.videos;
    if (!left.ended && !right.ended) {
      const drift = left.currentTime - right.currentTime;
      if (Math.abs(drift) > DRIFT_TO_JUMP_S) {
        right.currentTime = left.currentTime;
      }
      right.playbackRate = this.rate * (Math.abs(drift) > DRIFT_TO_NUDGE_S ? 1 + Math.sign(drift) * NUDGE : 1);
    }
    this.onChange(this);
    requestAnimationFrame(() => this.#keepInStep());
  }

  #settle() {
    if (this.ended) {
      this.pause();
    } else {
      this.onChange(this);
    }
  }
}

function ready(video, url) {
  return new Promise((resolve, reject) => {
    video.onloadeddata = () => resolve();
    video.onerror = () => reject(new Error("The browser cannot play this video."));
    video.src = url;
    video.load();
  });
}
